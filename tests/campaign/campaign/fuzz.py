"""Coverage-guided fuzzing of the readers of foreign files: manifests, safetensors, and pictures to start from.

`python -m campaign.fuzz READER SECONDS SEED CORPUS` fuzzes one of them in this process; the class starts that. A reader
may return, or raise its own error; whatever else it does is a fault.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from campaign.bundles import MANIFEST, in_child, signed_toy
from campaign.tally import Tally

MOST_MB, MOST_SECONDS = 1500, 10
RUNS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
COVERED = re.compile(r"cov: (\d+)")
TAKEN = re.compile(r"taken: (\d+)")
MISSING = "atheris is not installed: pip install '.[campaign]' -c constraints.txt"
Read = Callable[[bytes], bool]
"""Bytes -> whether they were taken; raises what it should not."""


def fuzz(seconds: int, seed: int, reader: str) -> Tally:
    """Fuzz one reader for so many seconds."""
    tally = Tally(f"fuzzing: {reader}")
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        CORPORA[reader](Path(folder), corpus)
        command = [sys.executable, "-m", "campaign.fuzz", reader, str(seconds), str(seed), str(corpus)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, errors="replace")
        runs, taken = (int((pattern.findall(done.stderr) or [0])[-1]) for pattern in (RUNS, TAKEN))
        tally.accepted, tally.refused = taken, max(runs - taken, 0)
        tally.notes.append(f"{(COVERED.findall(done.stderr) or ['0'])[-1]} edges of Python code covered")
        if done.returncode or not runs:
            kept = [path.read_bytes() for path in Path(folder).glob("*-*") if path.is_file()]
            told = " | ".join(line for line in done.stderr.splitlines() if line.strip())[-1500:]
            tally.blame(f"{told}; input: {kept[:1]!r:.600}")
    return tally


def _manifests(folder: Path, corpus: Path) -> None:
    bundle, _ = signed_toy(folder)
    data = (bundle / MANIFEST).read_bytes()
    for number, each in enumerate((data, b"{}", b'{"format_version": 6}', b"[" * 2000)):
        (corpus / f"{number}").write_bytes(each)


def _weights(folder: Path, corpus: Path) -> None:
    def make() -> None:
        import torch

        from lira.checkpoint import save_tensors

        few = {"a": torch.ones(2, 3), "b.row_scale": torch.ones(2), "b": torch.ones(2, 2, dtype=torch.int8)}
        save_tensors(corpus / "0", few, {"config": "nano", "sampler": "{}"})
        save_tensors(corpus / "1", {}, {})

    in_child(make)


def _pictures(folder: Path, corpus: Path) -> None:
    from PIL import Image, PngImagePlugin

    image, texts = Image.new("RGB", (5, 4), "red"), PngImagePlugin.PngInfo()
    for add in (texts.add_text, texts.add_itxt):
        add("prompt", "a red apple")
    texts.add_text("long", "x" * 2000, zip=True)
    exif = Image.Exif()
    exif[0x112] = 6
    image.save(corpus / "0", "PNG", pnginfo=texts, exif=exif, icc_profile=b"x" * 200)
    image.convert("P").save(corpus / "1", "PNG", transparency=1)
    image.convert("LA").save(corpus / "2", "PNG")
    for number, kind in enumerate(("JPEG", "GIF", "WEBP", "TIFF", "BMP"), 3):
        image.save(corpus / f"{number}", kind)


def _read_manifest() -> Read:
    from lira_runtime import manifest
    from lira_runtime.errors import DamagedBundle

    def read(data: bytes) -> bool:
        try:
            manifest.decode(data)
            taken = True
        except DamagedBundle:
            taken = False
        try:
            manifest.parse(data)
            return True
        except DamagedBundle:
            return taken

    return read


def _read_weights() -> Read:
    from torch import nn

    from lira.checkpoint import load_module, read_metadata
    from lira_runtime.errors import BadInput

    path = Path(tempfile.mkdtemp()) / "weights.safetensors"
    module = nn.ParameterDict({"a": nn.Parameter(nn.Linear(3, 2).weight.detach())})

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        try:
            read_metadata(path)
            load_module(module, path)
            return True
        except BadInput:
            return False

    return read


def _read_picture() -> Read:
    from lira_runtime.errors import BadInput
    from lira_runtime.image import read_picture

    path = Path(tempfile.mkdtemp()) / "picture"

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        try:
            return read_picture(path, 8).shape == (8, 8, 3)
        except BadInput:
            return False

    return read


CORPORA = {"manifest": _manifests, "safetensors": _weights, "picture": _pictures}
READERS = {"manifest": _read_manifest, "safetensors": _read_weights, "picture": _read_picture}
INSTRUMENTED = {
    "manifest": ["lira_runtime"],
    "safetensors": ["lira", "safetensors"],
    "picture": ["PIL", "lira_runtime"],
}


def main() -> None:
    """Fuzz in this process; libFuzzer ends it."""
    reader, seconds, corpus = sys.argv[1], sys.argv[2], sys.argv[4]
    seed = int(sys.argv[3]) % 2**31 or 1  # 0 would be a seed of its own choice
    try:
        import atheris
    except ModuleNotFoundError:
        raise SystemExit(MISSING) from None
    with atheris.instrument_imports(include=INSTRUMENTED[reader]):
        read = READERS[reader]()
    taken = 0

    def once(data: bytes) -> None:
        nonlocal taken
        if read(data):
            taken += 1
            if taken & (taken - 1) == 0 or taken % 1000 == 0:
                print(f"taken: {taken}", file=sys.stderr, flush=True)

    limits = (f"-max_total_time={seconds}", f"-timeout={MOST_SECONDS}", f"-rss_limit_mb={MOST_MB}", "-max_len=65536")
    atheris.Setup([sys.argv[0], *limits, f"-seed={seed}", "-print_final_stats=1", corpus], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

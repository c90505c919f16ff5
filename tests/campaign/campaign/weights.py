"""Checkpoints that are damaged or lie about themselves, against `--checkpoint` of `lira-export` and `lira-verify`.

The safetensors format is eight bytes of length, so much JSON, and tensors. Nothing in it protects the tensors: other
numbers of the right shape are other weights, which an export rightly takes. `lira-verify` takes none: the manifest
knows the checkpoint's digest.
"""

import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from campaign.bundles import in_child, link_tree, put
from campaign.hostile import NAMES, NUMBERS, leaves, value_for, with_leaf, without
from campaign.sandbox import Command, Ended, Yard, call, run, settle
from campaign.tally import Tally

REACHED = "every check was passed"
"""What the stand-in for the conversion says: everything before it is the product's own."""
Change = Callable[[Random, bytes], bytes]


def _split(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", data[:8])
    record: dict[str, Any] = json.loads(data[8 : 8 + length])
    return record, data[8 + length :]


def _joined(record: object, tensors: bytes) -> bytes:
    header = json.dumps(record).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header)) + header + tensors


def _bytes(random: Random, data: bytes) -> bytes:
    changed, at = bytearray(data), random.randrange(random.choice([16, 4096, len(data)]))
    changed[at] ^= 1 << random.randrange(8)
    return bytes(changed)


def _truncated(random: Random, data: bytes) -> bytes:
    return data[: random.choice([0, 1, 7, 8, 9, len(data) * random.randrange(64) // 64])]


def _length(random: Random, data: bytes) -> bytes:
    lengths = [0, 1, len(data), len(data) - 8, 2**20, 2**31, 2**32, 2**40, 2**63 - 1, 2**64 - 1, 100_000_000]
    return struct.pack("<Q", random.choice(lengths)) + data[8:]


def _header(random: Random, data: bytes) -> bytes:
    record, tensors = _split(data)
    where = random.choice(leaves(record))
    if random.random() < 0.25:
        return _joined(without(record, where), tensors)
    return _joined(with_leaf(record, where, value_for(random, where)), tensors)


def _bomb(random: Random, data: bytes) -> bytes:
    """A small header that asks for a great deal."""
    record, tensors = _split(data)
    name = random.choice([each for each in record if each != "__metadata__"])
    kind = random.choice(["shape", "offsets", "many", "deep", "metadata", "overlap", "wide"])
    if kind == "shape":
        record[name]["shape"] = [random.choice([2**20, 2**31, 2**40, 2**63]) for _ in range(random.randrange(1, 5))]
    elif kind == "offsets":
        record[name]["data_offsets"] = [random.choice(NUMBERS), random.choice([2**31, 2**40, 2**63, -1])]
    elif kind == "many":
        record |= {f"x{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(200_000)}
    elif kind == "deep":
        return _raw('{"a":' * 100_000 + "1" + "}" * 100_000, tensors)
    elif kind == "metadata":
        record["__metadata__"] = {random.choice(NAMES)[:300]: "x" * (1 << 20) for _ in range(20)}
    elif kind == "overlap":
        record[name] = dict(random.choice([each for key, each in record.items() if key != "__metadata__"]))
    else:
        return _raw(json.dumps(record) + " " * (90 << 20), tensors)
    return _joined(record, tensors)


def _raw(header: str, tensors: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode() + tensors


def _said(random: Random, data: bytes) -> bytes:
    """What the file says of itself is another."""
    record, tensors = _split(data)
    key = random.choice(["config", "kind", "preset", "sampler", "text_encoder", "what nobody knows"])
    texts = [*NAMES, "nano", "large", "f32c32", "{}", '{"method":"dpm","steps":1e9}', "[" * 5000]
    record["__metadata__"] = {**record.get("__metadata__", {}), key: random.choice(texts)}
    return _joined(record, tensors)


def _numbers(random: Random, data: bytes) -> bytes:
    """Weights are no numbers, or endless."""
    record, tensors = _split(data)
    changed = bytearray(tensors)
    stored = random.choice([b"\0\x7e", b"\0\x7c", b"\0\xfc", b"\xff\xff"])
    for _ in range(random.choice([1, 100])):
        at = 2 * random.randrange(len(changed) // 2)
        changed[at : at + 2] = stored
    return _joined(record, bytes(changed))


CHANGES: Mapping[str, Change] = {
    each.__name__.strip("_"): each for each in (_bytes, _truncated, _length, _header, _bomb, _said, _numbers)
}


def checkpoints(count: int, seed: int, only: int | None = None) -> Tally:
    """Change one file of a checkpoint, and give it to both commands."""
    tally, order = Tally("checkpoints"), list(CHANGES)
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        sound, bundle = _made(Path(folder))
        yard, names = Yard(Path(folder) / "yard"), sorted(path.name for path in sound.iterdir())
        for case in range(count) if only is None else [only]:
            random, kind = Random(f"{seed} checkpoints {case}"), order[case % len(order)]
            shutil.rmtree(yard.place, ignore_errors=True)
            yard.make()
            link_tree(bundle, yard.bundle)
            link_tree(sound, yard.place / "weights")
            name = random.choice(names)
            before = (sound / name).read_bytes()
            changed = CHANGES[kind](random, before)
            put(yard.place / "weights" / name, changed)
            fault, accepted = _judged(yard, unchanged=changed == before)
            if fault:
                tally.blame(f"case {case}, {kind} of {name}: {fault}")
            else:
                tally.count("accepted" if accepted else "refused")
    return tally


def _made(folder: Path) -> tuple[Path, Path]:
    """A checkpoint of the smallest model, and a bundle of it."""
    from mite import MITE

    import lira_export.drift_plot  # noqa: F401
    import lira_runtime.trust.cli  # noqa: F401
    from lira.presets import PRESETS
    from lira_export import cli

    PRESETS[MITE.name] = MITE
    sound, bundle = folder / "weights", folder / "bundle"
    sound.mkdir()
    settle()

    def make() -> object:
        import torch

        from lira.checkpoint import save_module
        from lira.sources import Request, load_models

        models = load_models(Request(MITE.name, latent="f8c4", resolution=32, text_encoder="demo", seed=3))
        said = {"denoiser": {"config": MITE.name}, "decoder": {"kind": "f8c4"}, "text_encoder": {"preset": "demo"}}
        for name, metadata in said.items():
            save_module(getattr(models, name), sound / f"{name}.safetensors", torch.float16, metadata)
        sys.argv = ["lira-export", *_arguments(sound, bundle), "--component", "decoder"]
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return cli.main()

    in_child(make)
    return sound, bundle


def _arguments(weights: Path, out: Path) -> list[str]:
    asked = ["--target", "onnx", "--config", "mite", "--resolution", "32", "--checkpoint", str(weights)]
    return [*asked, "--out", str(out)]


def _judged(yard: Yard, unchanged: bool) -> tuple[str | None, bool]:
    from lira_runtime.trust.cli import main as verify

    weights = yard.place / "weights"
    exported, verified = (
        run(_export(yard, weights), yard),
        run(call(verify, yard.bundle, "--checkpoint", weights), yard),
    )
    for what, ended in (("lira-export", exported), ("lira-verify", verified)):
        if fault := ended.fault():
            return f"{what}: {fault}", False
    if left := [path.name for path in yard.out.iterdir()]:
        return f"lira-export left {left}", False
    if verified.code == 0 and not unchanged:
        return "lira-verify took other weights than the bundle's", False
    return None, exported.code == 0


def _export(yard: Yard, weights: Path) -> Command:
    """`lira-export`, up to where it would begin to convert."""
    from lira_export import bundle, cli

    def command() -> object:
        def reached(*given: Any) -> Ended:
            print(REACHED)
            raise SystemExit(0)

        bundle.write_bundle = reached  # type: ignore[assignment]
        sys.argv = ["lira-export", *_arguments(weights, yard.out / "bundle")]
        return cli.main()

    return command

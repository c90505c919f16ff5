"""`lira-verify` on exports of all three formats."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from event_lines import named, read_events
from forgery import Checks, failures, rewrite

from lira_export.targets import TARGETS
from lira_runtime import manifest as m
from lira_runtime.files import sha256_of
from lira_runtime.manifest import TargetName
from lira_runtime.trust.cli import main

Verified = tuple[int, Checks, str]
ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "coremltools", "ai_edge_litert"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
from lira_runtime.trust.cli import main
main()
"""


def verify(capsys: pytest.CaptureFixture[str], bundle: Path, *flags: str) -> Verified:
    with pytest.raises(SystemExit) as stop:
        main([str(bundle), "--json", *flags])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), named(read_events(out), "check"), err


def of(checks: Checks, name: str) -> list[dict[str, Any]]:
    return [each for each in checks if each["check"] == name]


@pytest.fixture(params=TARGETS)
def mite(request: pytest.FixtureRequest, mites: Callable[[TargetName], Any], tmp_path: Path) -> Path:
    """A copy of a whole bundle at two sizes, in each format."""
    return Path(shutil.copytree(mites(request.param).bundle, tmp_path / "bundle"))


def test_an_export_is_whole_in_every_format_and_what_its_manifest_says(
    mite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks, err = verify(capsys, mite, "--deep")
    assert (code, err) == (0, "")
    assert {each["check"] for each in checks if each["status"] != "ok"} == {"signature"}, "exports are not signed"
    assert len(of(checks, "tensors")) == len(of(checks, "golden")) == 5, "the text encoder, and two sizes of the others"
    assert len(of(checks, "contents")) == 3
    files = {path.relative_to(mite).as_posix() for path in mite.rglob("*") if path.is_file()} - {"manifest.json"}
    assert {each["subject"] for each in of(checks, "file")} == files


def test_a_flipped_bit_in_any_file_of_any_format_is_found(mite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for entry in m.load(mite).files():
        data = bytearray((mite / entry.path).read_bytes())
        data[len(data) // 2] ^= 16
        (mite / entry.path).write_bytes(data)
    code, checks, _ = verify(capsys, mite, "--deep")
    assert code == 5
    assert failures(checks) == [("file", entry.path, "wrong_sha256") for entry in m.load(mite).files()]
    assert {each["code"] for each in checks if each["check"] in ("tensors", "contents", "golden")} == {"files_damaged"}


def test_other_counts_another_recipe_and_another_golden_output_are_found(
    mite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def lie(manifest: m.Manifest) -> m.Manifest:
        text, denoiser, decoder = manifest.components
        products = {**denoiser.contents.products, "int8": denoiser.contents.products["int8"] + 1}
        contents = msgspec.structs.replace(denoiser.contents, products=products)
        graph = decoder.graphs[0]
        other = mite / (graph.golden.path if graph.golden else "")
        other.write_bytes(np.fromfile(other, "<f4")[::-1].tobytes())
        golden = msgspec.structs.replace(graph.golden, sha256=sha256_of(other))
        graphs = (msgspec.structs.replace(graph, golden=golden), *decoder.graphs[1:])
        return msgspec.structs.replace(
            manifest,
            components=(
                msgspec.structs.replace(text, recipe="fp32"),
                msgspec.structs.replace(denoiser, contents=contents),
                msgspec.structs.replace(decoder, graphs=graphs),
            ),
        )

    rewrite(mite, lie)
    code, checks, _ = verify(capsys, mite, "--deep")
    assert code == 5 and ("contents", "denoiser", "contents_differ") in failures(checks)
    assert ("contents", "text_encoder", "not_quantized") in failures(checks), "int8 is narrower than fp32 says"
    (golden,) = (each for each in of(checks, "golden") if each["status"] == "failed")
    assert golden["code"] == "golden_differs" and golden["subject"].startswith("decoder")


def test_parity_is_measured_again_against_the_weights_of_the_seed(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))
    code, checks, _ = verify(capsys, bundle, "--checkpoint", "seed")
    assert code == 0 and [each["status"] for each in of(checks, "parity")] == ["ok"] * 4
    written = m.load(bundle)
    assert written.trajectory is not None
    at_export = [*(part.parity.psnr_db for part in written.components), written.trajectory.image_psnr_db]
    again = [float(check["said"].split(" dB")[0]) for check in of(checks, "parity")]
    assert again == pytest.approx(at_export, abs=0.1)

    def ask_more(manifest: m.Manifest) -> m.Manifest:
        parts = [
            msgspec.structs.replace(
                part, parity=msgspec.structs.replace(part.parity, psnr_db=195.0, threshold_db=190.0)
            )
            for part in manifest.components[:1]
        ]
        drawn = msgspec.structs.replace(manifest.trajectory, image_psnr_db=195.0, threshold_db=190.0)
        return msgspec.structs.replace(manifest, components=(*parts, *manifest.components[1:]), trajectory=drawn)

    rewrite(bundle, ask_more)
    code, checks, _ = verify(capsys, bundle, "--checkpoint", "seed")
    assert code == 5
    assert failures(checks) == [("parity", name, "parity_lost") for name in ("text_encoder", "picture")]


def test_another_checkpoint_than_the_bundles_is_bad_input(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(bundle_folder), "--checkpoint", str(tmp_path)])
    _, err = capsys.readouterr()
    assert stop.value.code == 2 and len(err.splitlines()) == 1 and "lacks denoiser.safetensors" in err


@pytest.mark.parametrize("flags", [[], ["--deep"]])
def test_what_is_not_installed_is_named_on_the_line_of_every_check_it_keeps_from_being_made(
    mite: Path, flags: list[str]
) -> None:
    target = m.load(mite).target
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(mite), *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "export", "runtime"))},
    )
    left_out = [line.split() for line in done.stdout.splitlines() if line.startswith("not checked here  ")]
    wanted = {"contents"} if target == "onnx" else {"contents", "tensors"} | ({"golden"} if flags else set())
    assert {words[3] for words in left_out} == wanted | {"signature"}, done
    assert all("is not installed" in " ".join(words) for words in left_out if words[3] in wanted)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if flags and target != "onnx" else 0)

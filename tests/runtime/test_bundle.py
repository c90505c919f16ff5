import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from toy_bundle import write_toy_bundle

from lira_runtime import cli as generate_cli
from lira_runtime import manifest as m
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.files import sha256_of
from lira_runtime.trust import cli as verify_cli


def test_an_untouched_bundle_opens(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    assert bundle.digest == sha256_of(toy_bundle / "manifest.json")
    assert bundle.graph("denoiser").path == "denoiser.onnx"
    assert bundle.tokenizer_path() == toy_bundle / "tokenizer.json"
    bundle.require_whole()


def test_each_resolution_has_its_graph_and_the_first_is_the_default(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path / "bundle", resolutions=(32, 16))
    bundle = Bundle.open(tmp_path / "bundle")
    assert (bundle.resolution(None), bundle.resolution(16)) == (32, 16)
    for asked, side in ((None, 32), (32, 32), (16, 16)):
        assert bundle.graph("denoiser", asked).inputs[0].shape == (1, 4, side // 2, side // 2)
        assert bundle.graph("decoder", asked).outputs[0].shape == (1, 3, side, side)
        assert bundle.graph("text_encoder", asked) == bundle.component("text_encoder").graphs[0]
    for wrong in (8, 64, 0):
        with pytest.raises(BadInput, match=f"draws at 32, 16 px, not at {wrong}"):
            bundle.graph("denoiser", wrong)
        with pytest.raises(BadInput, match=f"draws at 32, 16 px, not at {wrong}"):
            bundle.resolution(wrong)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_folder_that_no_engine_can_open_is_bad_input_and_a_way_there_that_is_unicode_is_taken(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = toy_bundle.rename(tmp_path / os.fsdecode(b"b\xff"))
    with pytest.raises(BadInput, match="is no UTF-8"):
        Bundle.open(named)
    for main in (verify_cli.main, generate_cli.main):
        with pytest.raises(SystemExit) as stop:
            main([str(named), *(["a cat", "--out", str(tmp_path / "a.png")] if main is generate_cli.main else [])])
        assert stop.value.code == 2
    monkeypatch.chdir(named)
    with pytest.raises(SystemExit) as stop:
        verify_cli.main(["."])
    assert stop.value.code == 0
    (tmp_path / "näme").symlink_to(named)
    assert Bundle.open(tmp_path / "näme").digest


def test_a_missing_bundle_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no bundle"):
        Bundle.open(tmp_path / "none")


def test_a_file_is_not_a_bundle(toy_bundle: Path) -> None:
    with pytest.raises(BadInput, match="directory"):
        Bundle.open(toy_bundle / "manifest.json")


@pytest.mark.parametrize(
    "name",
    ["tokenizer.json", "text_encoder.onnx", "denoiser.onnx.data", "decoder.onnx", "empty_prompt.f32"],
)
def test_each_file_is_checked_for_presence_size_and_content(toy_bundle: Path, name: str) -> None:
    path = toy_bundle / name
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedBundle, match="SHA-256"):
        Bundle.open(toy_bundle)
    path.write_bytes(content[:-1])
    with pytest.raises(DamagedBundle, match="bytes"):
        Bundle.open(toy_bundle)
    path.unlink()
    with pytest.raises(DamagedBundle, match="lacks"):
        Bundle.open(toy_bundle)


def with_empty_prompt(folder: Path, states: np.ndarray) -> Bundle:
    """The bundle with other states, rightly entered in its manifest."""
    path = folder / "empty_prompt.f32"
    path.write_bytes(states.astype("<f4").tobytes())
    manifest = m.load(folder)
    empty = msgspec.structs.replace(manifest.empty_prompt, sha256=sha256_of(path), bytes=path.stat().st_size)
    m.save(msgspec.structs.replace(manifest, empty_prompt=empty), folder)
    return Bundle.open(folder)


def test_the_empty_prompt_is_read_as_it_was_written(toy_bundle: Path) -> None:
    states = np.random.default_rng(0).normal(size=(1, 77, 4)).astype(np.float32)
    found = with_empty_prompt(toy_bundle, states).empty_prompt()
    assert found.dtype == np.float32 and np.array_equal(found, states)


def test_states_of_the_empty_prompt_that_are_no_numbers_or_too_few_are_damage(toy_bundle: Path) -> None:
    states = np.zeros((1, 77, 4))
    with pytest.raises(DamagedBundle, match="shape"):
        with_empty_prompt(toy_bundle, states[:, 1:])
    states[0, 76, 3] = np.nan
    with pytest.raises(DamagedBundle, match="not finite"):
        with_empty_prompt(toy_bundle, states).empty_prompt()


def test_a_directory_without_a_manifest_is_damaged(toy_bundle: Path) -> None:
    (toy_bundle / "manifest.json").unlink()
    with pytest.raises(DamagedBundle, match=r"manifest\.json"):
        Bundle.open(toy_bundle)


def test_a_link_out_of_the_bundle_is_damaged(toy_bundle: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (toy_bundle / "decoder.onnx").rename(outside)
    (toy_bundle / "decoder.onnx").symlink_to(outside)
    with pytest.raises(DamagedBundle, match="outside"):
        Bundle.open(toy_bundle)


def test_a_huge_manifest_is_not_read(toy_bundle: Path) -> None:
    with open(toy_bundle / "manifest.json", "ab") as file:
        file.truncate(5 << 20)
    with pytest.raises(DamagedBundle, match="larger"):
        Bundle.open(toy_bundle)

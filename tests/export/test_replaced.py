"""An export over something: bundles go, everything else stays."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lira_export.replaced import check_replaceable
from lira_runtime.errors import BadInput
from lira_runtime.manifest import TargetName

Bundles = Callable[[str], dict[TargetName, Path]]


@pytest.mark.parametrize("target", ["onnx", "coreml", "tflite"])
def test_a_bundle_of_any_format_is_replaced_and_a_file_of_the_users_in_it_is_not(
    decoders: Bundles, target: TargetName, tmp_path: Path
) -> None:
    goal = tmp_path / "bundle"
    shutil.copytree(decoders("int8")[target], goal)
    (goal / "manifest.json.sig").write_text("a signature")
    check_replaceable(goal, overwrite=True)
    with pytest.raises(BadInput, match="already holds a bundle"):
        check_replaceable(goal, overwrite=False)
    (goal / "notes").mkdir()
    (goal / "notes" / "mine.txt").write_text("precious")
    with pytest.raises(BadInput, match="holds notes/mine.txt, which is no part of the bundle"):
        check_replaceable(goal, overwrite=True)


@pytest.mark.parametrize("text", ['{"name": "my extension", "manifest_version": 3}', "not JSON", "[" * 100_000])
def test_a_manifest_of_something_else_is_no_bundles(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadInput, match="no bundle's; choose another place"):
        check_replaceable(tmp_path, overwrite=True)
    assert (tmp_path / "manifest.json").read_text() == text


def test_no_bundle_is_written_into_another(bundle_folder: Path, tmp_path: Path) -> None:
    for place in (bundle_folder / "inner", bundle_folder / "a" / "b"):
        with pytest.raises(BadInput, match=f"lies in the bundle {bundle_folder}; choose a place outside of it"):
            check_replaceable(place, overwrite=True)
    (tmp_path / "manifest.json").write_text('{"name": "of a web page"}')
    check_replaceable(tmp_path / "build" / "bundle", overwrite=False)


def test_lira_export_leaves_what_is_not_a_bundle(
    tmp_path: Path, run_export: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "manifest.json").write_text('{"manifest_version": 3}')
    (tmp_path / "background.js").write_text("precious")
    for flag in ("--overwrite", "--force"):
        code, _, err = run_export("--target", "onnx", "--config", "nano", "--out", str(tmp_path), flag)
        assert code == 2 and "no bundle's" in err.splitlines()[-1]
    assert (tmp_path / "background.js").read_text() == "precious"

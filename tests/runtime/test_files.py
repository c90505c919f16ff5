import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_directory, atomic_write, check_outputs, check_writable_folder, sha256_of


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000  # more than one piece
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    goal = tmp_path / "a.txt"
    goal.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(goal) as part:
        part.write_text("half")
        raise RuntimeError
    assert goal.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_write_replaces_the_old_file_and_has_ordinary_permissions(tmp_path: Path) -> None:
    goal = tmp_path / "a.txt"
    goal.write_text("old")
    ordinary = goal.stat().st_mode
    with atomic_write(goal) as part:
        part.write_text("new")
        assert goal.read_text() == "old"
    assert goal.read_text() == "new"
    assert goal.stat().st_mode == ordinary
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_name_as_long_as_names_can_be_is_written(tmp_path: Path) -> None:
    goal = tmp_path / ("é" * 127)
    with atomic_write(goal) as part:
        part.write_text("new")
    assert goal.read_text() == "new" and len(os.listdir(tmp_path)) == 1


def test_a_directory_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a directory"), atomic_write(tmp_path):
        pass


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"), atomic_write(tmp_path / "no" / "a.txt"):
        pass


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(BadInput, match="not an ordinary file"), atomic_write("/dev/null"):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="a file without a name is Linux's")
def test_a_folder_is_tried_without_a_name_that_a_kill_would_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings = []

    def looked_at(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any, **kwargs: Any) -> Any:
            file = make(*args, **kwargs)
            listings.append(os.listdir(tmp_path))
            return file

        return made

    for name in ("TemporaryFile", "NamedTemporaryFile"):
        monkeypatch.setattr(tempfile, name, looked_at(getattr(tempfile, name)))
    check_writable_folder(tmp_path)
    assert listings == [[]]


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "bundle") as part:
        (part / "a").write_text("half")
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_a_directory_appears_whole_and_readable(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "deep" / "bundle") as part:
        (part / "a").write_text("all")
        (part / "a").chmod(0o600)
        assert not (tmp_path / "deep" / "bundle").exists()
    assert (tmp_path / "deep" / "bundle" / "a").read_text() == "all"
    (tmp_path / "ordinary").write_text("")
    assert (tmp_path / "deep/bundle/a").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
    assert os.listdir(tmp_path / "deep") == ["bundle"]


def test_an_empty_directory_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with atomic_directory(tmp_path / "bundle") as part:
        (part / "a").write_text("all")
    assert os.listdir(tmp_path / "bundle") == ["a"]


def test_an_old_bundle_is_replaced_only_when_asked(tmp_path: Path) -> None:
    goal = tmp_path / "bundle"
    goal.mkdir()
    (goal / "manifest.json").write_text("old")
    (goal / "stale").write_text("old")
    with pytest.raises(BadInput, match="already holds a bundle"), atomic_directory(goal):
        pass
    with atomic_directory(goal, overwrite=True) as part:
        (part / "manifest.json").write_text("new")
    assert os.listdir(goal) == ["manifest.json"]
    assert (goal / "manifest.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["bundle"]


def test_what_has_come_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    goal = tmp_path / "bundle"
    with pytest.raises(BadInput, match="already holds a bundle"), atomic_directory(goal):
        goal.mkdir()
        (goal / "manifest.json").write_text("theirs")
    assert (goal / "manifest.json").read_text() == "theirs" and os.listdir(tmp_path) == ["bundle"]


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    goal = tmp_path / "photos"
    goal.mkdir()
    (goal / "cat.jpg").write_text("precious")
    with pytest.raises(BadInput, match="not a bundle"), atomic_directory(goal, overwrite=True):
        pass
    assert (goal / "cat.jpg").read_text() == "precious"


def test_a_file_in_the_way_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(BadInput, match="not a directory"), atomic_directory(tmp_path / "a"):
        pass
    with pytest.raises(BadInput, match="not a directory"), atomic_directory(tmp_path / "a" / "bundle"):
        pass


def test_outputs_never_fall_on_a_bundle_or_on_each_other(tmp_path: Path) -> None:
    bundle, beside = tmp_path / "bundle", tmp_path / "page.html"
    bundle.mkdir()
    check_outputs((beside, None), (bundle,))
    with pytest.raises(BadInput, match="lies in the bundle"):
        check_outputs((bundle / "manifest.json",), (bundle,))
    (tmp_path / "way").symlink_to(bundle)
    with pytest.raises(BadInput, match="lies in the bundle"):
        check_outputs((tmp_path / "way" / "page.html",), (bundle,))
    with pytest.raises(BadInput, match="given for two outputs"):
        check_outputs((beside, tmp_path / "." / "page.html"), (bundle,))
    with pytest.raises(BadInput, match="is a directory"):
        check_outputs((tmp_path,), ())

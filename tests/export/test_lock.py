"""Two exports of one output are kept apart; a killed one is in nobody's way."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from lira_export.lock import locked
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write

ARGUMENTS = ("--config", "nano", "--component", "decoder", "--resolution", "64")
HOLD = """
import sys, time
from pathlib import Path
from lira_export.lock import locked

with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(600)
"""
Run = Callable[..., tuple[int, str, str]]


def holder(out: Path) -> subprocess.Popen[str]:
    """A process that has the lock of `out`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("all_targets", [False, True])
def test_a_second_export_of_an_output_ends_at_once(
    all_targets: bool, tmp_path: Path, run_export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --target all one of three is enough, and the other two are not begun."""
    out = tmp_path / "nano-coreml"
    wanted = ("--target", "all", "--out", str(tmp_path)) if all_targets else ("--target", "coreml", "--out", str(out))
    monkeypatch.setattr("lira_export.planning.Plan", lambda *asked: pytest.fail("that takes long"))
    other = holder(out)
    try:
        code, stdout, err = run_export(*ARGUMENTS, *wanted)
    finally:
        other.kill()
        other.wait()
    assert (code, stdout) == (2, "")
    assert err == f"error: another export is writing {out}; wait for its end, or choose another place.\n"
    assert os.listdir(tmp_path) == [".lira-nano-coreml.lock"]


def test_the_lock_of_a_killed_export_holds_nobody_up_and_its_leftovers_go(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    other = holder(out)
    with pytest.raises(BadInput, match="another export"), locked(out):
        pass
    (tmp_path / ".lira-bundle.abcdefgh.part").mkdir()
    (tmp_path / ".lira-other.abcdefgh.part").mkdir()
    other.kill()
    other.wait()
    with locked(out):
        assert sorted(os.listdir(tmp_path)) == [".lira-bundle.lock", ".lira-other.abcdefgh.part"]
    assert os.listdir(tmp_path) == [".lira-other.abcdefgh.part"]


def test_the_locks_file_goes_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After that it may be another export's."""
    there, honest = list[bool](), FileLock.release

    def release(self: FileLock, force: bool = False) -> None:
        there.append((tmp_path / ".lira-bundle.lock").exists())
        honest(self, force)

    monkeypatch.setattr(FileLock, "release", release)
    with locked(tmp_path / "bundle"):
        assert (tmp_path / ".lira-bundle.lock").exists()
    assert there[0] is False


def test_half_a_plot_of_a_killed_export_goes_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "bundle-drift.png") as part:
        os.link(part, tmp_path / "kept")
        (name,) = {path.name for path in tmp_path.iterdir()} - {"kept"}
        raise KeyboardInterrupt
    os.rename(tmp_path / "kept", tmp_path / name)
    (tmp_path / ".lira-other-drift.png.abcdefgh.part").touch()
    with locked(tmp_path / "bundle", tmp_path / "bundle-drift.png"):
        assert sorted(os.listdir(tmp_path)) == [".lira-bundle.lock", ".lira-other-drift.png.abcdefgh.part"]


def test_leftovers_are_not_touched_while_another_export_may_be_making_them(tmp_path: Path) -> None:
    (tmp_path / ".lira-bundle.abcdefgh.part").mkdir()
    with locked(tmp_path / "bundle"):
        (tmp_path / ".lira-bundle.12345678.part").mkdir()
        with pytest.raises(BadInput), locked(tmp_path / "bundle"):
            pass
        with locked(tmp_path / "other"):
            pass
        assert sorted(os.listdir(tmp_path)) == [".lira-bundle.12345678.part", ".lira-bundle.lock"]

"""A directory is the old one or the new one whatever happens on the way, a kill included."""

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lira_runtime import swap
from lira_runtime.files import atomic_directory, atomic_write, remove_leftovers

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from lira_runtime import files, swap

goal, exchanges, moment = Path(sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3])
moments = 0

def perhaps_the_last():
    global moments
    if moments == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    moments += 1

def stepping(call):
    def step(*arguments, **keywords):
        perhaps_the_last()
        found = call(*arguments, **keywords)
        perhaps_the_last()
        return found
    return step

if not exchanges:
    swap._exchanging_rename = lambda: None
for module, name in ((os, "rename"), (swap, "exchange"), (swap, "fsync"), (files.shutil, "rmtree")):
    setattr(module, name, stepping(getattr(module, name)))
with files.atomic_directory(goal, overwrite=True) as part:
    for name in ("manifest.json", "a"):
        (part / name).write_text("new")
print(moments)
"""


def holds(goal: Path) -> set[str]:
    return {(goal / name).read_text() for name in ("manifest.json", "a")}


def killed_at(goal: Path, exchanges: bool, moment: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED_AT, str(goal), str(exchanges), str(moment)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def make(goal: Path, text: str) -> None:
    goal.mkdir()
    for name in ("manifest.json", "a"):
        (goal / name).write_text(text)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_kill_at_any_step_leaves_the_whole_old_or_the_whole_new_one(exchanges: bool, tmp_path: Path) -> None:
    found, moment = [], 0
    while True:
        folder = tmp_path / str(moment)
        folder.mkdir()
        goal = folder / "bundle"
        make(goal, "old")
        done = killed_at(goal, exchanges, moment)
        if not exchanges:
            remove_leftovers(goal)
        assert holds(goal) in ({"old"}, {"new"}), moment
        found.append(min(holds(goal)))
        remove_leftovers(goal)
        assert os.listdir(folder) == ["bundle"] and min(holds(goal)) == found[-1], moment
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        moment += 1
    assert found == sorted(found, reverse=True) and set(found) == {"old", "new"} and moment == int(done.stdout) > 4


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no exchanging rename")
def test_two_directories_are_exchanged_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a", "first")
    make(tmp_path / "b", "second")
    monkeypatch.setattr(os, "rename", lambda *arguments: pytest.fail("a rename is not an exchange"))
    assert swap.exchange(tmp_path / "a", tmp_path / "b")
    assert holds(tmp_path / "a") == {"second"} and holds(tmp_path / "b") == {"first"}
    with pytest.raises(FileNotFoundError):
        swap.exchange(tmp_path / "a", tmp_path / "c")


def failing_with(code: int) -> Callable[[bytes, bytes], int]:
    """An exchanging rename of the C library that fails."""

    def call(a: bytes, b: bytes) -> int:
        ctypes.set_errno(code)
        return -1

    return call


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_that_exchanges_nothing_is_no_hindrance(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_exchanging_rename", lambda: failing_with(code))
    make(tmp_path / "bundle", "old")
    with atomic_directory(tmp_path / "bundle", overwrite=True) as part:
        for name in ("manifest.json", "a"):
            (part / name).write_text("new")
    assert holds(tmp_path / "bundle") == {"new"} and os.listdir(tmp_path) == ["bundle"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_the_old_one_is_there_where_the_new_one_cannot_take_its_place(
    exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal, honest = tmp_path / "bundle", os.rename

    def rename(source: Path, target: Path) -> None:
        if source.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error")
        honest(source, target)

    make(goal, "old")
    monkeypatch.setattr(swap, "_exchanging_rename", lambda: failing_with(errno.EIO) if exchanges else None)
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="Input/output error"), atomic_directory(goal, overwrite=True) as part:
        (part / "manifest.json").write_text("new")
    assert holds(goal) == {"old"} and os.listdir(tmp_path) == ["bundle"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize("exchanges", [True, False])
def test_everything_is_on_the_disk_before_it_has_its_name_and_so_is_the_name(
    exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power failure leaves is the disk's to say; this is all that a program can do about it."""
    goal, done, honest = tmp_path / "bundle", list[str](), (os.fsync, os.rename, swap.exchange, os.replace)

    def named(path: Path) -> str:
        return "part" if path.suffix == ".part" else path.name

    def fsync(handle: int) -> None:
        done.append(named(Path(os.readlink(f"/proc/self/fd/{handle}"))))
        honest[0](handle)

    def moved(call: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
        def move(source: Path, target: Path) -> object:
            done.append(f"{named(Path(source))} to {named(Path(target))}")
            return call(source, target)

        return move

    make(goal, "old")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", moved(honest[1]))
    monkeypatch.setattr(os, "replace", moved(honest[3]))
    monkeypatch.setattr(swap, "exchange", moved(honest[2]) if exchanges else lambda a, b: False)
    with atomic_directory(goal, overwrite=True) as part:
        (part / "inner").mkdir()
        (part / "inner" / "a").write_text("new")
    taking = done.index("part to bundle")
    assert {"a", "inner", "part"} <= set(done[:taking])
    assert done[taking + 1] == tmp_path.name
    done.clear()
    with atomic_write(tmp_path / "file") as part:
        part.write_text("new")
    assert done == ["part", "part to file", tmp_path.name]


def test_only_what_was_left_of_this_very_goal_is_removed(tmp_path: Path) -> None:
    goal = tmp_path / "bundle"
    others = {
        ".lira-abcdefgh.part",
        ".lira-bundle.two.abcdefgh.part",
        ".lira-bundle2.abcdefgh.part",
        ".lira-bundle.kept",
        ".lira-bundle.abcdefgh.parts",
        "x.lira-bundle.abcdefgh.part",
    }
    for name in (*others, ".lira-bundle.abcdefgh.part", ".lira-bundle.abcdefgh.old"):
        make(tmp_path / name, "half")
    (tmp_path / ".lira-bundle.link_abc.part").symlink_to(tmp_path / ".lira-abcdefgh.part")
    (tmp_path / "elsewhere" / "bundle").mkdir(parents=True)
    (tmp_path / ".lira-bundle.link_abc.old").symlink_to(tmp_path / "elsewhere")
    remove_leftovers(goal)
    links = {".lira-bundle.link_abc.part", ".lira-bundle.link_abc.old"}
    assert set(os.listdir(tmp_path)) == others | links | {"elsewhere"}
    assert os.listdir(tmp_path / "elsewhere") == ["bundle"], "it was taken for an old one that is to come back"


@pytest.mark.parametrize("letter", ["x", "ä"])
def test_long_names_of_one_beginning_share_nothing_temporary(tmp_path: Path, letter: str) -> None:
    beginning = letter * (200 // len(letter.encode()))
    with atomic_directory(tmp_path / f"{beginning}-a") as part, atomic_write(tmp_path / f"{beginning}-c") as file:
        for other in (f"{beginning}-b", beginning, f"{beginning}-"):
            remove_leftovers(tmp_path / other)
        assert part.is_dir() and file.is_file()
        remove_leftovers(tmp_path / f"{beginning}-a")
        assert not part.exists() and file.is_file()
        part.mkdir()


def test_a_part_is_named_after_its_goal(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "a.b") as part:
        assert part.name.startswith(".lira-a.b.")
        remove_leftovers(tmp_path / "a")
        assert part.is_dir()
        remove_leftovers(tmp_path / "a.b")
        assert not part.exists()
        part.mkdir()

"""A directory is the old one or the new one whatever happens on the way, a kill included."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lira_runtime import swap
from lira_runtime.files import atomic_directory, remove_leftovers

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
    remove_leftovers(goal)
    assert set(os.listdir(tmp_path)) == others | {".lira-bundle.link_abc.part"}


def test_a_part_is_named_after_its_goal(tmp_path: Path) -> None:
    with atomic_directory(tmp_path / "a.b") as part:
        assert part.name.startswith(".lira-a.b.")
        remove_leftovers(tmp_path / "a")
        assert part.is_dir()
        remove_leftovers(tmp_path / "a.b")
        assert not part.exists()
        part.mkdir()

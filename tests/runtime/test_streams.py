"""What cannot be said is not said, and the exit code stays."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lira_runtime.commands import COMMANDS

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")


def shell(redirections: str, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as its script does, its streams as a shell redirects them."""
    function = {"lira-verify": "verify", "lira-doctor": "doctor", "lira-generate": "generate"}[command]
    assert command in COMMANDS
    started = [sys.executable, "-c", f"from lira_runtime.commands import {function}; {function}()", *arguments]
    return subprocess.run(["sh", "-c", f"{shlex.join(started)} {redirections}"], capture_output=True, text=True)


@pytest.mark.parametrize(
    "redirections",
    ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", pytest.param("2>/dev/full", marks=needs_full)],
)
def test_a_refusal_keeps_its_exit_code(redirections: str) -> None:
    run = shell(redirections, "lira-verify", "nothing", "--json")
    assert run.returncode == 2
    lines = run.stdout.splitlines()
    assert len(lines) == (0 if ">&- " in f"{redirections} ".replace("2>&- ", "") else 1)
    assert all(json.loads(line)["code"] == "no_bundle" for line in lines), "stderr's sentence is no JSON"
    assert ("error: " in run.stderr) == (redirections == ">&-")


@pytest.mark.parametrize("redirections", [">&-", "2>&-", ">&- 2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_success_keeps_its_exit_code(redirections: str) -> None:
    run = shell(redirections, "lira-doctor", "--version")
    assert run.returncode == 0 and run.stderr == ""
    assert ("lira-doctor" in run.stdout) == (">&- " not in f"{redirections} ".replace("2>&- ", ""))


@needs_full
def test_a_result_that_stdout_cannot_take_is_a_failure() -> None:
    run = shell(">/dev/full", "lira-doctor", "--version")
    assert run.returncode == 2 and run.stderr.startswith("error: the disk is full") and run.stderr.count("\n") == 1


def test_a_picture_is_not_written_into_by_what_is_said(toy_bundle: Path, tmp_path: Path) -> None:
    """The first file that is opened would get the number of a stream that is closed."""
    drawn = []
    for name, redirections in (("a.png", ""), ("b.png", "<&- >&- 2>&-")):
        asked = (str(toy_bundle), "a cat", "--steps", "1", "--out", str(tmp_path / name))
        assert shell(redirections, "lira-generate", *asked).returncode == 0
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]


@needs_full
def test_progress_that_nobody_can_hear_stops_no_drawing(toy_bundle: Path, tmp_path: Path) -> None:
    asked = (str(toy_bundle), "a cat", "--steps", "1", "--out", str(tmp_path / "a.png"))
    run = shell("2>/dev/full", "lira-generate", *asked)
    assert run.returncode == 0 and (tmp_path / "a.png").is_file() and "wrote" in run.stdout


def test_what_stderr_takes_is_said_as_ever() -> None:
    run = shell("", "lira-verify", os.fsdecode(b"n\xc3\xa4ch\xff\x1b[2Jste"))
    assert run.returncode == 2
    assert run.stderr == "error: there is no bundle at näch\\udcff\\x1b[2Jste: a bundle is a directory.\n"

"""The campaign in short, and that its classes find what is planted for them; `make campaign` is the whole of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHEAP, DEAR = (
    ("damaged", "bits", "prompts", "generations"),
    ("checkpoints", "circumstances", "kills", "interrupts", "faults"),
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the campaign needs /proc, pidfd and tmpfs")


def campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "campaign", "--seed", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def rows(done: subprocess.CompletedProcess[str]) -> list[list[int]]:
    """Tried, refused, accepted and anything else, of each class."""
    lines = done.stdout.split("\nseed 1, ")[0].splitlines()[1:]
    return [[int(cell) for cell in line.split()[-5:-1]] for line in lines]


def test_nothing_is_wrong_in_the_short_campaign() -> None:
    done = campaign("--short")
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done)
    assert len(found) == 9 and all(row[0] == row[1] + row[2] > 0 and row[3] == 0 for row in found), done.stdout


def plants(*names: str, cases: tuple[str, ...] = ("--short",)) -> None:
    done = campaign("--plant", *cases, *(part for name in names for part in ("--only", name)))
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(rows(done)) == len(names) and all(row[3] for row in rows(done)), done.stdout
    assert "the class itself failed" not in done.stdout


def test_what_is_planted_is_found() -> None:
    plants(*CHEAP)


@pytest.mark.slow
def test_what_is_planted_where_finding_it_takes_long_is_found() -> None:
    plants(*DEAR)
    plants("forged", cases=("--count", "60"))  # the first of its cases that needs what is left out is the 50th

"""What the documents tell a reader to run leaves a clone clean."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git what is ignored")
@pytest.mark.parametrize("name", ["training", "data", "evaluation"])
def test_what_documented_commands_write_is_ignored(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    goals = {goal for goal in re.findall(r"--(?:out|sheet) ([\w./-]+)", text) if not goal.isupper()}
    asked = subprocess.run(["git", "check-ignore", *goals], cwd=ROOT, capture_output=True, text=True)
    assert goals and goals == set(asked.stdout.split())

"""A process that works for another does not outlive it, however the other ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
CHILD = """
import time
from lira_runtime.orphan import end_with_parent

end_with_parent()
print(1, flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone can do it")
def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(RUNTIME)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = Path("/proc") / parent.stdout.readline().decode().strip()
    assert child.is_dir()
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 20
    while child.is_dir() and time.monotonic() < until:
        time.sleep(0.01)
    assert not child.is_dir()

"""Memory of a loaded graph, by a fresh process."""

import subprocess
import sys
from pathlib import Path

import msgspec

from lira_runtime.errors import OverBudget
from lira_runtime.manifest import Graph, TargetName


def loaded_bytes(target: TargetName, graph: Graph, folder: Path) -> int | None:
    """Bytes that a process takes on by loading and running the graph once; None where no runtime here can load it.

    Raises OverBudget where the process does not come back, which is what running out of memory looks like.
    """
    if target == "coreml":
        return None
    command = [sys.executable, "-m", "lira_runtime.loaded", target, str(folder)]
    done = subprocess.run(command, input=msgspec.json.encode(graph), capture_output=True)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise OverBudget(f"{graph.path} could not be run in a process of its own: {reason[0]}")
    return int(done.stdout.split()[-1])

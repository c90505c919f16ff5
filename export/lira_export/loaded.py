"""Memory of a loaded graph, by a fresh process."""

import subprocess
import sys
from pathlib import Path

import msgspec

from lira_runtime.manifest import Graph, TargetName


def loaded_bytes(target: TargetName, graph: Graph, folder: Path) -> int | None:
    """Bytes that a process takes on by loading and running the graph once; None where no runtime here can load it."""
    if target == "coreml":
        return None
    command = [sys.executable, "-m", "lira_runtime.loaded", target, str(folder)]
    done = subprocess.run(command, input=msgspec.json.encode(graph), capture_output=True, check=True)
    return int(done.stdout.split()[-1])

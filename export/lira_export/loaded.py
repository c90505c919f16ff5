"""Memory of a graph's stage, by a fresh process."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lira_runtime import events
from lira_runtime.cache import CACHE_VARIABLE
from lira_runtime.codes import Code
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import Graph, TargetName, WeightsMode
from lira_runtime.memory.watch import check_ended


def run_stage(target: TargetName, graph: Graph, folder: Path, weights: WeightsMode = "packed") -> StageRun | None:
    """What a process takes that loads a graph and runs it; None where no runtime here can load it.

    Weights that are kept in a cache are packed before, by another process, into one in `folder` that goes again.

    Raises as `lira_runtime.memory.watch.check_ended` does.
    """
    if target == "coreml":
        return None
    command = [sys.executable, "-P", "-m", "lira_runtime.loaded", target, str(folder), weights, "--json"]
    with own_cache(folder):
        for _ in range(1 if weights == "packed" else 2):
            done = subprocess.run(command, input=msgspec.json.encode(graph), capture_output=True)
            check_ended(f"the process that ran {graph.path}", done.returncode, done.stderr, _error_code(done.stdout))
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=StageRun)


def _error_code(stdout: bytes) -> Code | None:
    """Of the event that a process ended with; None where it ended well, or without a word."""
    try:
        return msgspec.json.decode(stdout.strip().rpartition(b"\n")[2], type=events.Error).code
    except msgspec.DecodeError:
        return None


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """Keep the weights that processes started within it pack in `folder`, and drop them at the end.

    A bundle that is being made has no name yet under which the user's own cache would find them again.
    """
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        os.environ[CACHE_VARIABLE] = cache
        try:
            yield
        finally:
            del os.environ[CACHE_VARIABLE]
            if before is not None:
                os.environ[CACHE_VARIABLE] = before

"""Time and peak memory of one graph in a fresh process that holds NumPy, onnxruntime and LiRA's runtime alone.

`python benchmarks/fresh.py GRAPH THREADS REPEATS` is that process; `measure` starts it. Peak memory is its high-water
mark less what it held before the graph was loaded, so it counts weights, workspace, inputs and outputs.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_runtime.backends.session import SessionSettings, open_session
from lira_runtime.errors import OverBudget
from lira_runtime.memory.meter import process_peak_bytes, resident_bytes

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class Fresh:
    """ms: median of the runs after one warm-up; peak_bytes over idle_bytes, what the process held before the load."""

    ms: float
    peak_bytes: int
    idle_bytes: int


def random_feed(inputs: list[Any]) -> dict[str, NDArray[Any]]:
    """Values for a session's inputs by their own shapes and types: normal floats, integers 0 or 1."""
    rng = np.random.default_rng(0)
    feed = {}
    for each in inputs:
        values = rng.standard_normal(each.shape) if "float" in each.type else rng.integers(0, 2, each.shape)
        feed[each.name] = values.astype(DTYPES[each.type])
    return feed


def measure(graph: Path, threads: int, repeats: int) -> Fresh:
    """Run the graph in a process of its own.

    Raises:
        OverBudget: the process did not come back, which is what running out of memory looks like.
    """
    command = [sys.executable, __file__, str(graph), str(threads), str(repeats)]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        reason = child.stderr.strip().splitlines()[-1:] or [f"status {child.returncode}"]
        raise OverBudget(f"{graph} could not be run in a process of its own: {reason[0]}")
    return Fresh(**json.loads(child.stdout))


def _run(graph: Path, threads: int, repeats: int) -> Fresh:
    idle = resident_bytes()
    session = open_session(graph, SessionSettings(threads=threads))
    feed = random_feed(session.get_inputs())
    session.run(None, feed)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        session.run(None, feed)
        seconds.append(time.perf_counter() - start)
    return Fresh(1e3 * median(seconds), process_peak_bytes() - idle, idle)


if __name__ == "__main__":
    print(json.dumps(vars(_run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))

"""Memory that one graph's stage takes, measured in a process that holds nothing else.

`python -m lira_runtime.loaded TARGET FOLDER [WEIGHTS] --json` reads the manifest's record of a graph as JSON on stdin,
loads it, runs it twice on zeros and unloads it, and prints a `StageRun` as JSON; errors end it as they end every
command.
Zeros look up one row of a token table: the pages that a prompt brings in are not in it.
"""

import os
import sys
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.errors import cli_guard
from lira_runtime.manifest import Graph
from lira_runtime.memory.meter import PeakMeter, release
from lira_runtime.memory.reading import Reading, read
from lira_runtime.orphan import end_with_parent


class StageRun(Struct, frozen=True):
    """Resident bytes of the process as the stage goes on; peaks by the kernel's mark where `PeakMeter` has it.

    idle: before. load_peak, loaded: while the graph loads, and after. run_peak, held: while it runs, and after, freed
    memory given back. unloaded: at the end; library: file-backed bytes then, over idle: the engine's code.
    """

    idle: int
    load_peak: int
    loaded: int
    run_peak: int
    held: int
    unloaded: int
    library: int

    @property
    def peak_bytes(self) -> int:
        """The most over the idle process. The kernel keeps its mark by counters that lag by some pages."""
        return max(self.load_peak, self.loaded, self.run_peak, self.held) - self.idle

    @property
    def loaded_bytes(self) -> int:
        """What stays of loading and running, the engine's workspace included, over the idle process."""
        return max(self.held - self.idle, 0)

    @property
    def unrun_bytes(self) -> int:
        """What loading alone leaves, over the idle process: weights, records of the graph and the engine's code."""
        return max(self.loaded - self.idle, 0)


def main() -> None:
    """Measure and print."""
    target, folder, *weights = (word for word in sys.argv[1:] if word != "--json")  # which is for the guard
    graph = msgspec.json.decode(sys.stdin.buffer.read(), type=Graph)
    settings = SessionSettings(weights=weights[0]) if weights else SessionSettings()  # type: ignore[arg-type]
    print(msgspec.json.encode(_measure(graph, target, Path(folder), settings)).decode())


def _measure(graph: Graph, target: str, folder: Path, settings: SessionSettings) -> StageRun:
    backend = backend_for(target, settings)  # type: ignore[arg-type]
    inputs = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs}
    idle = _now()
    with PeakMeter() as load:
        backend.load(graph, folder)
    loaded = read(os.getpid())
    with PeakMeter() as run:
        for _ in range(2):
            backend.run(inputs)
    held = _now()
    backend.unload()
    unloaded = _now()
    return StageRun(
        idle=idle.resident,
        load_peak=load.peak_bytes,
        loaded=loaded.resident,
        run_peak=run.peak_bytes,
        held=held.resident,
        unloaded=unloaded.resident,
        library=unloaded.file_backed - idle.file_backed,
    )


def _now() -> Reading:
    release()
    return read(os.getpid())


if __name__ == "__main__":
    end_with_parent()
    cli_guard(main)()

"""Memory that loading one graph takes, measured in a process that holds nothing else.

`python -m lira_runtime.loaded TARGET FOLDER` reads the manifest's record of a graph as JSON on stdin and prints bytes:
resident memory after loading and one run on zeros, less that before.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np

from lira_runtime.backends.choose import backend_for
from lira_runtime.manifest import Graph
from lira_runtime.memory.meter import release, resident_bytes


def main() -> None:
    """Load, run once, print the difference."""
    target, folder = sys.argv[1:]
    graph = msgspec.json.decode(sys.stdin.buffer.read(), type=Graph)
    backend = backend_for(target)  # type: ignore[arg-type]
    release()
    before = resident_bytes()
    backend.load(graph, Path(folder))
    backend.run({tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in graph.inputs})
    release()
    print(max(resident_bytes() - before, 0))


if __name__ == "__main__":
    main()

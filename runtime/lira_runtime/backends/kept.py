"""A backend that never unloads: many drawings pay for loading once, at the price of all graphs in memory together."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lira_runtime.backends.protocol import Backend
from lira_runtime.manifest import Graph


class KeptGraphs:
    """Keeps every graph it has loaded, each in an engine of its own that `make` returns."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._make = make
        self._kept: dict[tuple[Path, str], Backend] = {}
        self._current: Backend | None = None

    def load(self, graph: Graph, directory: Path) -> None:
        """Choose a graph, loading it where it is new; raises DamagedBundle as the engine does."""
        key = (directory / graph.path, graph.entry)
        if key not in self._kept:
            backend = self._make()
            backend.load(graph, directory)
            self._kept[key] = backend
        self._current = self._kept[key]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the chosen graph."""
        if self._current is None:
            raise RuntimeError("load a graph before running it")
        return self._current.run(inputs)

    def unload(self) -> None:
        """Choose no graph; all stay in memory as long as this object lives."""
        self._current = None

"""What an engine must do: load, run, unload; the same three verbs as in Kotlin and Swift."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from lira_runtime.manifest import Graph


class Backend(Protocol):
    """Holds at most one graph at a time."""

    def load(self, graph: Graph, directory: Path) -> None:
        """Load one graph of the bundle in `directory`.

        Raises DamagedBundle where it cannot be loaded or its tensors are not what the manifest says.
        """

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the loaded graph on named inputs and return its named outputs."""

    def unload(self) -> None:
        """Drop the loaded graph and everything it holds; does nothing when none is loaded."""

"""Runs a bundle's Core ML packages: on macOS by Core ML itself, elsewhere by the interpreter of `coreml.interpret`.

The way through Core ML itself is untested here: this repository's tests run on Linux.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Function, Var
from numpy.typing import NDArray

from lira_export.coreml.interpret import Program, read_function, tensor_types
from lira_export.coreml.library import MLModel
from lira_runtime.backends.session import first_line_of
from lira_runtime.errors import DamagedBundle
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import Graph

Arrays = dict[str, NDArray[Any]]


class CoremlBackend:
    """The `Backend` for target "coreml"."""

    def __init__(self) -> None:
        self._run: Callable[[Arrays], Arrays] | None = None
        self._output_names: list[str] = []

    def load(self, graph: Graph, directory: Path) -> None:
        """Load one graph of the bundle in `directory`.

        Raises DamagedBundle where it cannot be loaded, holds an op that cannot be run, or its tensors are not what the
        manifest says.
        """
        if self._run is not None:
            raise RuntimeError("unload the graph before loading another: one at a time is what keeps memory low")
        function, package = check_function(graph, directory), directory / graph.path
        self._run = _native(package, graph) if sys.platform == "darwin" else Program(function).run
        self._output_names = [tensor.name for tensor in graph.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run the loaded graph on named inputs and return its named outputs, of the manifest's shapes and dtypes.

        Raises DamagedBundle when the graph fails.
        """
        if self._run is None:
            raise RuntimeError("load a graph before running it")
        found = self._run(dict(inputs))
        return {name: found[name] for name in self._output_names}

    def unload(self) -> None:
        """Drop the loaded graph and everything it holds; does nothing when none is loaded."""
        self._run = None
        self._output_names = []


def check_function(graph: Graph, directory: Path) -> Function:
    """Read a graph's function. Raises DamagedBundle where it cannot be read, or its tensors are not the manifest's."""
    function = read_function(directory / graph.path, graph.entry)
    _check(graph, "inputs", graph.inputs, function.inputs.values())
    _check(graph, "outputs", graph.outputs, function.outputs)
    return function


def _check(graph: Graph, side: str, wanted: Sequence[TensorSpec], found: Iterable[Var]) -> None:
    expected = {tensor.name: (tuple(tensor.shape), tensor.dtype) for tensor in wanted}
    if expected != tensor_types(found):
        raise DamagedBundle(f"the {side} of the graph {graph.path} are not those its manifest says.", "graph_refused")


def _native(package: Path, graph: Graph) -> Callable[[Arrays], Arrays]:
    """Core ML's own prediction."""
    dtypes = {tensor.name: np.dtype(tensor.dtype) for tensor in graph.outputs}
    try:
        model = MLModel(str(package), function_name=graph.entry)
    except Exception as error:  # coremltools' exceptions share no base but Exception
        raise DamagedBundle(f"{package.name} cannot be loaded: {first_line_of(error)}", "graph_refused") from error

    def predict(inputs: Arrays) -> Arrays:
        try:
            found = model.predict(inputs)
        except Exception as error:
            raise DamagedBundle(f"a graph failed while it ran: {first_line_of(error)}", "graph_failed") from error
        return {name: np.asarray(found[name], dtype) for name, dtype in dtypes.items()}

    return predict

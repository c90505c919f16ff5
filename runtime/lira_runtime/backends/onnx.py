"""Runs a bundle's ONNX graphs with ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from lira_runtime.backends.loading import Loaded, load_graph
from lira_runtime.backends.session import (
    SessionSettings,
    first_line_of,
    opening,
    ran_out_of_memory,
    session_of,
    session_options,
)
from lira_runtime.errors import DamagedBundle, OverBudget
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import Graph

_ORT_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


class OnnxBackend:
    """The `Backend` for target "onnx"."""

    def __init__(self, settings: SessionSettings | None = None) -> None:
        self._settings = settings or SessionSettings()
        self._loaded: Loaded | None = None
        self._output_names: list[str] = []

    def load(self, graph: Graph, directory: Path) -> None:
        """Load one graph.

        Raises DamagedBundle where it cannot be loaded or its tensors are not what the manifest says, otherwise as
        `load_graph` does.
        """
        if self._loaded is not None:
            raise RuntimeError("unload the graph before loading another: one at a time is what keeps memory low")
        loaded = load_graph(directory / graph.path, self._settings)
        _check_tensors(graph, loaded.session)
        self._loaded = loaded
        self._output_names = [tensor.name for tensor in graph.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the loaded graph on named inputs and return its named outputs.

        Raises OverBudget when memory runs out, DamagedBundle when the graph fails otherwise.
        """
        if self._loaded is None:
            raise RuntimeError("load a graph before running it")
        try:
            with self._loaded.running():
                values = self._loaded.session.run(self._output_names, dict(inputs))
        except Exception as error:  # the library's exceptions share no base but Exception
            first_line = first_line_of(error)
            if ran_out_of_memory(error):
                raise OverBudget(
                    f"there is not enough memory to run the graph: {first_line}", "out_of_memory"
                ) from error
            raise DamagedBundle(f"a graph failed while it ran: {first_line}", "graph_failed") from error
        return dict(zip(self._output_names, values, strict=True))

    def unload(self) -> None:
        """Drop the loaded graph and everything it holds; does nothing when none is loaded."""
        self._loaded = None
        self._output_names = []


def check_graph(graph: Graph, directory: Path) -> None:
    """Raise DamagedBundle where a graph cannot be opened or its tensors are not what the manifest says.

    Nothing is optimized or packed: it is not to be run.
    """
    path = directory / graph.path
    options = session_options(SessionSettings(threads=1))
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    with opening(path):
        session = session_of(path, options)
    _check_tensors(graph, session)


def _check_tensors(graph: Graph, session: ort.InferenceSession) -> None:
    _check(graph, "inputs", graph.inputs, session.get_inputs())
    _check(graph, "outputs", graph.outputs, session.get_outputs())


def _check(graph: Graph, side: str, wanted: Sequence[TensorSpec], found: Sequence[ort.NodeArg]) -> None:
    expected = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in wanted}
    actual = {arg.name: (_ORT_TYPES.get(arg.type, arg.type), tuple(arg.shape)) for arg in found}
    if expected != actual:
        raise DamagedBundle(f"the {side} of the graph {graph.path} are not those its manifest says.", "graph_refused")

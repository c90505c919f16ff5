"""Runs a bundle's TFLite graphs with LiteRT and XNNPACK on the CPU."""

import atexit
import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.cpu_options import CpuOptions
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.options import Options
from numpy.typing import NDArray

from lira_runtime.backends.limits import LITERT_STREAMS_NOT
from lira_runtime.backends.packed import packed_folder
from lira_runtime.backends.processor import default_threads
from lira_runtime.backends.session import SessionSettings, first_line_of, ran_out_of_memory
from lira_runtime.codes import Code
from lira_runtime.errors import BadInput, DamagedBundle, LiRAError, OverBudget
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import Graph, WeightsMode

IN_MEMORY = ":memory"
"""LiteRT's name for a cache that is no file: signatures share packed weights, and the file's pages are let go."""
WEIGHTS = "weights.xnnpack"
"""Name of the file that holds packed weights; LiteRT knows one of another version by its head."""


class TfliteBackend:
    """The `Backend` for target "tflite"; a graph's entry is the signature to run.

    `SessionSettings.spinning` has no meaning here: XNNPACK's threads sleep between products. Raises BadInput for
    streamed weights.
    """

    def __init__(self, settings: SessionSettings | None = None) -> None:
        self._settings = settings or SessionSettings()
        self._loaded: _Loaded | None = None
        if self._settings.weights == "streamed":
            raise BadInput(LITERT_STREAMS_NOT)

    def load(self, graph: Graph, directory: Path) -> None:
        """Load one signature; raises DamagedBundle where it cannot be loaded or its tensors are not what it says."""
        if self._loaded is not None:
            raise RuntimeError("unload the graph before loading another: one at a time is what keeps memory low")
        path = directory / graph.path
        check_signature(graph, path)
        threads = self._settings.threads or default_threads()
        with _failures(
            "graph_refused", f"{path.name} cannot be loaded", f"there is not enough memory to load {path.name}"
        ):
            self._loaded = _Loaded(graph, path, threads, _packed_weights(path, threads, self._settings.weights))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the loaded graph on named inputs and return its named outputs.

        Raises OverBudget when memory runs out, DamagedBundle when the graph fails otherwise.
        """
        if self._loaded is None:
            raise RuntimeError("load a graph before running it")
        with _failures("graph_failed", "a graph failed while it ran", "there is not enough memory to run the graph"):
            return self._loaded.run(inputs)

    def unload(self) -> None:
        """Drop the loaded graph and everything it holds; does nothing when none is loaded."""
        with silent_stderr():
            self._loaded = None


class _Loaded:
    """One compiled signature with its buffers; weights: the file of packed ones, or IN_MEMORY."""

    def __init__(self, graph: Graph, path: Path, threads: int, weights: str) -> None:
        self._graph = graph
        with silent_stderr():
            self._model = _compiled(path, threads, weights)
            self._inputs = {
                tensor.name: self._model.create_input_buffer_by_name(graph.entry, tensor.name)
                for tensor in graph.inputs
            }
            self._outputs = {
                tensor.name: self._model.create_output_buffer_by_name(graph.entry, tensor.name)
                for tensor in graph.outputs
            }
        _quiet_at_exit()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        # LiteRT copies bytes and asks neither for shapes nor for dtypes.
        wanted = {tensor.name: (tensor.dtype, tensor.shape) for tensor in self._graph.inputs}
        given = {name: (value.dtype.name, value.shape) for name, value in inputs.items()}
        if wanted != given:
            raise ValueError(f"it takes {wanted}, not {given}")
        with silent_stderr():
            for name, value in inputs.items():
                self._inputs[name].write(value)
            self._model.run_by_name(self._graph.entry, self._inputs, self._outputs)
        return {
            tensor.name: self._outputs[tensor.name]
            .read(int(np.prod(tensor.shape)), np.dtype(tensor.dtype))
            .reshape(tensor.shape)
            for tensor in self._graph.outputs
        }


def _packed_weights(path: Path, threads: int, mode: WeightsMode) -> str:
    """Where LiteRT keeps the packed weights of a file: LiteRT's name for memory, or a file that is made once."""

    def pack(folder: Path) -> None:
        with silent_stderr():
            _compiled(path, threads, str(folder / WEIGHTS))

    if mode == "packed":
        return IN_MEMORY
    return str(packed_folder(path, f"LiteRT {ai_edge_litert.__version__}", pack) / WEIGHTS)


def _compiled(path: Path, threads: int, weights: str) -> CompiledModel:
    cpu = CpuOptions(num_threads=threads, xnnpack_weight_cache_path=weights)
    return CompiledModel.from_file(str(path), options=Options(HardwareAccelerator.CPU, cpu_options=cpu))


def check_signature(graph: Graph, path: Path) -> None:
    """Raise DamagedBundle unless `path` is a TFLite file whose signature has the graph's tensors.

    The interpreter verifies a file before it opens it, which the compiled model does not.
    """
    try:
        with silent_stderr():
            interpreter = Interpreter(str(path))
    except Exception as error:  # the library's exceptions share no base but Exception
        raise DamagedBundle(f"{path.name} cannot be loaded: {first_line_of(error)}", "graph_refused") from error
    if graph.entry not in interpreter.get_signature_list():
        raise DamagedBundle(f"{path.name} has no signature '{graph.entry}', which the manifest names.", "graph_refused")
    runner = interpreter.get_signature_runner(graph.entry)
    _check(graph, "inputs", graph.inputs, runner.get_input_details())
    _check(graph, "outputs", graph.outputs, runner.get_output_details())


def _check(graph: Graph, side: str, wanted: Sequence[TensorSpec], found: Mapping[str, Mapping[str, Any]]) -> None:
    expected = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in wanted}
    actual = {name: (np.dtype(each["dtype"]).name, tuple(map(int, each["shape"]))) for name, each in found.items()}
    if expected != actual:
        raise DamagedBundle(f"the {side} of the graph {graph.path} are not those its manifest says.", "graph_refused")


@contextlib.contextmanager
def _failures(code: Code, damaged: str, over_budget: str) -> Iterator[None]:
    try:
        yield
    except LiRAError:
        raise
    except Exception as error:  # the library's exceptions share no base but Exception
        if ran_out_of_memory(error):
            raise OverBudget(f"{over_budget}: {first_line_of(error)}", "out_of_memory") from error
        raise DamagedBundle(f"{damaged}: {first_line_of(error)}", code) from error


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep what LiteRT's C++ code logs, which no option turns off, from the terminal; an error carries it as a note."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with tempfile.TemporaryFile() as log:
            os.dup2(log.fileno(), 2)
            try:
                yield
            except Exception as error:
                log.seek(0)
                error.add_note(log.read().decode(errors="replace"))
                raise
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@functools.cache
def _quiet_at_exit() -> None:
    """LiteRT logs once more when the process ends, after Python's last word."""
    atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))

"""Opens ONNX graphs with their weights packed, mapped or streamed (`SessionSettings.weights`)."""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from lira_runtime.backends.limits import check_kept
from lira_runtime.backends.packed import forget, packed_folder
from lira_runtime.backends.session import SessionSettings, opening, ran_out_of_memory, session_of, session_options
from lira_runtime.backends.streaming import Streaming

GRAPH, WEIGHTS = "graph.onnx", "graph.onnx.data"
"""Names of a packed graph's files."""
LEAST_BYTES = 1024
"""Of a weight that goes into the file of weights; smaller ones stay in the graph."""


@dataclass(frozen=True)
class Loaded:
    """A session, and what streams its weights where they are streamed."""

    session: ort.InferenceSession
    streaming: Streaming | None = None

    def running(self) -> AbstractContextManager[None]:
        """The context in which to run the session."""
        return contextlib.nullcontext() if self.streaming is None else self.streaming.while_running()


def load_graph(graph: Path, settings: SessionSettings) -> Loaded:
    """Open a graph as `settings.weights` says.

    Raises DamagedBundle, OverBudget, or BadInput where packed weights cannot be kept or streamed.
    """
    check_kept(settings.weights)
    with opening(graph):
        if settings.weights == "packed":
            return Loaded(session_of(graph, session_options(settings)))
        folder = _packed(graph, settings)
        try:
            return _mapped(folder, settings)
        except Exception as error:  # the library's exceptions share no base but Exception
            if ran_out_of_memory(error):
                raise
            forget(folder)  # what the cache held is damaged
            return _mapped(_packed(graph, settings), settings)


def _packed(graph: Path, settings: SessionSettings) -> Path:
    def pack(folder: Path) -> None:
        options = session_options(settings)
        options.optimized_model_filepath = str(folder / GRAPH)
        for key, value in (
            ("optimized_model_external_initializers_file_name", WEIGHTS),
            ("optimized_model_external_initializers_min_size_in_bytes", str(LEAST_BYTES)),
            ("save_external_prepacked_constant_initializers", "1"),
        ):
            options.add_session_config_entry(f"session.{key}", value)
        session_of(graph, options)

    return packed_folder(graph, f"onnxruntime {ort.__version__}", pack)


def _mapped(folder: Path, settings: SessionSettings) -> Loaded:
    options = session_options(settings)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # that was done before it was packed
    if settings.weights == "mapped":
        return Loaded(session_of(folder / GRAPH, options))
    streaming = Streaming(folder / WEIGHTS)
    with streaming.while_loading():
        return Loaded(session_of(folder / GRAPH, options), streaming)

"""Opens ONNX graphs with their weights packed, mapped or streamed (`SessionSettings.weights`)."""

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from lira_runtime.backends.packed import forget, packed_graph, weights_of
from lira_runtime.backends.session import (
    SessionSettings,
    opening,
    ran_out_of_memory,
    session_of,
    session_options,
)
from lira_runtime.backends.streaming import Streaming, check_streaming


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
    if settings.weights == "streamed":
        check_streaming()
    with opening(graph):
        if settings.weights == "packed":
            return Loaded(session_of(graph, session_options(settings)))
        packed = packed_graph(graph, settings)
        try:
            return _mapped(packed, settings)
        except Exception as error:  # the library's exceptions share no base but Exception
            if ran_out_of_memory(error):
                raise
            forget(packed)  # what the cache held is damaged
            return _mapped(packed_graph(graph, settings), settings)


def _mapped(packed: Path, settings: SessionSettings) -> Loaded:
    options = session_options(settings)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # that was done before it was packed
    if settings.weights == "mapped":
        return Loaded(session_of(packed, options))
    streaming = Streaming(weights_of(packed))
    with streaming.while_loading():
        return Loaded(session_of(packed, options), streaming)

"""The one place where ONNX Runtime sessions are configured and opened."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from lira_runtime.backends.limits import MAX_THREADS
from lira_runtime.backends.processor import default_threads, on_battery
from lira_runtime.errors import BadInput, DamagedBundle, LiRAError, OverBudget
from lira_runtime.manifest import WEIGHTS_MODES, WeightsMode

_FATAL_ONLY = 4  # our own one sentence replaces the library's log


@dataclass(frozen=True)
class SessionSettings:
    """threads: intra-op threads, 0 to 256, 0 for `default_threads()`.

    spinning: whether idle threads burn a core to save time; None: unless the device runs on its battery.
    weights: where those of the products lie, in the kernels' layout. "packed": in memory of the process's own, made at
    every load. "mapped": in a cache file that is mapped, made at the first load; clean pages, which the system may
    take back. "streamed": the same, and pages are given back while the graph runs, so that few are resident at a time.
    Raises BadInput for another number of threads or mode.
    """

    threads: int = 0
    spinning: bool | None = None
    weights: WeightsMode = "packed"

    def __post_init__(self) -> None:
        if not 0 <= self.threads <= MAX_THREADS:
            raise BadInput(f"threads must be 0 to {MAX_THREADS}, not {self.threads}; 0 chooses for this machine.")
        if self.weights not in WEIGHTS_MODES:
            raise BadInput(f"weights are {', '.join(WEIGHTS_MODES)}, not '{self.weights}'.")


def session_options(settings: SessionSettings) -> ort.SessionOptions:
    """Return the options every session of LiRA uses.

    The arena keeps a session's workspace from run to run: without it each step asks the system for its pages again.
    The memory pattern would reserve one block for the sum of what a run allocates, more than is alive at once.
    Both die with the session, so unloading gives everything back.
    """
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = True
    options.enable_mem_pattern = False
    options.intra_op_num_threads = settings.threads or default_threads()
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    spinning = not on_battery() if settings.spinning is None else settings.spinning
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # Our DequantizeLinear nodes stand behind weights alone: this unpacks them at load instead of in every run.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def open_session(graph: Path, settings: SessionSettings) -> ort.InferenceSession:
    """Open a graph by path, its weights packed anew; raises DamagedBundle or OverBudget."""
    with opening(graph):
        return session_of(graph, session_options(settings))


def session_of(graph: Path, options: ort.SessionOptions) -> ort.InferenceSession:
    """Open a graph by path, so that its external data is mapped and not copied; raises the library's own errors."""
    # Its fallback would try the same again, and print about it.
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"], enable_fallback=False)


@contextlib.contextmanager
def opening(graph: Path) -> Iterator[None]:
    """Turn the library's errors into DamagedBundle or OverBudget, in one sentence that names the graph."""
    try:
        yield
    except LiRAError:
        raise
    except Exception as error:  # the library's exceptions share no base but Exception
        first_line = first_line_of(error)
        if ran_out_of_memory(error):
            raise OverBudget(
                f"there is not enough memory to load {graph.name}: {first_line}", "out_of_memory"
            ) from error
        raise DamagedBundle(f"{graph.name} cannot be loaded: {first_line}", "graph_refused") from error


def first_line_of(error: Exception) -> str:
    """The library's message without its trace, or the error's kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def ran_out_of_memory(error: Exception) -> bool:
    """Whether an error of the library means that an allocation failed."""
    return isinstance(error, MemoryError) or "alloc" in first_line_of(error).lower()

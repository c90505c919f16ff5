"""The one place where ONNX Runtime sessions are configured and opened."""

from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from lira_runtime.errors import DamagedBundle, OverBudget

_FATAL_ONLY = 4  # our own one sentence replaces the library's log


@dataclass(frozen=True)
class SessionSettings:
    """threads: intra-op threads, 0 for one a physical core; spinning: whether idle threads burn a core to save time."""

    threads: int = 0
    spinning: bool = True


def session_options(settings: SessionSettings) -> ort.SessionOptions:
    """Return the options every session of LiRA uses."""
    options = ort.SessionOptions()
    options.enable_cpu_mem_arena = False  # the arena keeps its peak for good and buys no speed here
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if settings.spinning else "0")
    return options


def open_session(graph: Path, settings: SessionSettings) -> ort.InferenceSession:
    """Open a graph by path, so that its external data is mapped and not copied; raises DamagedBundle or OverBudget."""
    try:
        return ort.InferenceSession(
            str(graph), sess_options=session_options(settings), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the library's exceptions share no base but Exception
        first_line = first_line_of(error)
        if ran_out_of_memory(error):
            raise OverBudget(f"there is not enough memory to load {graph.name}: {first_line}") from error
        raise DamagedBundle(f"{graph.name} cannot be loaded: {first_line}") from error


def first_line_of(error: Exception) -> str:
    """The library's message without its trace, or the error's kind where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def ran_out_of_memory(error: Exception) -> bool:
    """Whether an error of the library means that an allocation failed."""
    return isinstance(error, MemoryError) or "alloc" in first_line_of(error).lower()

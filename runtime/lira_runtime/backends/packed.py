"""Weights in the layout that this processor's kernels want, in a cache file that a session maps.

onnxruntime packs the weights of its products when it opens a graph, into memory of the process's own: anonymous pages,
which the system can take back from nobody. Packed once into a file they are mapped: clean pages of the file. The layout
depends on the processor and the library, so the file belongs to the machine and not to the bundle.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import onnxruntime as ort

from lira_runtime.backends.session import SessionSettings, session_of, session_options
from lira_runtime.errors import BadInput, LiRAError
from lira_runtime.files import atomic_directory

CACHE_VARIABLE = "LIRA_CACHE"
LEAST_BYTES = 1024
"""Of a weight that goes into the file of weights; smaller ones stay in the graph."""
_GRAPH = "graph.onnx"
_CPUINFO = Path("/proc/cpuinfo")


def cache_folder() -> Path:
    """Where packed weights are kept: $LIRA_CACHE, else lira in the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lira"


def packed_graph(graph: Path, settings: SessionSettings) -> Path:
    """Return the packed form of an ONNX graph, made where the cache lacks it.

    Its folder is named after the graph's place and state, so that a bundle exported anew is packed anew, and what was
    packed of it before is removed. Raises BadInput where the cache cannot be written; the library's own errors for a
    graph that it cannot open.
    """
    place, state = entry_of(graph)
    entry = cache_folder() / f"{place}-{state}"
    if not (entry / _GRAPH).is_file():
        _pack(graph, entry, settings)
        for old in cache_folder().glob(f"{place}-*"):
            if old != entry:
                shutil.rmtree(old, ignore_errors=True)
    return entry / _GRAPH


def weights_of(packed: Path) -> Path:
    """The file of weights beside a packed graph; it is missing where no weight was worth it."""
    return packed.with_name(f"{_GRAPH}.data")


def forget(packed: Path) -> None:
    """Remove a packed graph, which the next call makes anew."""
    shutil.rmtree(packed.parent, ignore_errors=True)


def entry_of(graph: Path) -> tuple[str, str]:
    """Names of a file's place and of its state with all that packing depends on."""
    graph = graph.resolve()
    files = [graph, *sorted(graph.parent.glob("*.data"))]
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return _short(str(graph)), _short(repr((state, ort.__version__, _processor())))


def _pack(graph: Path, entry: Path, settings: SessionSettings) -> None:
    options = session_options(settings)
    try:
        with atomic_directory(entry) as part:
            options.optimized_model_filepath = str(part / _GRAPH)
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_file_name", weights_of(part / _GRAPH).name
            )
            options.add_session_config_entry(
                "session.optimized_model_external_initializers_min_size_in_bytes", str(LEAST_BYTES)
            )
            options.add_session_config_entry("session.save_external_prepacked_constant_initializers", "1")
            session_of(graph, options)
    except (OSError, LiRAError) as error:
        if not (entry / _GRAPH).is_file():  # or another process has packed it meanwhile
            raise BadInput(
                f"the packed weights of {graph.name} cannot be kept in {entry.parent} ({error}); "
                f"choose another folder by {CACHE_VARIABLE} or load them with --weights packed."
            ) from error


def _processor() -> str:
    """What tells processors of different instruction sets apart."""
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(_described_features()))])


def _described_features() -> Iterator[str]:
    try:
        for line in _CPUINFO.read_text().splitlines():
            if line.split(":")[0].strip() in ("model name", "flags", "Features", "CPU part"):
                yield line
    except OSError:
        return


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

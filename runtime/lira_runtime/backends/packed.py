"""Weights in the layout that this processor's kernels want, kept in files that engines map.

An engine packs the weights of its products when it opens a graph, into memory of the process's own: anonymous pages,
which the system cannot take back. Packed once into a file they are mapped: clean pages of the file. The layout depends
on the processor and the library, so the file belongs to the machine and not to the bundle.
"""

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lira_runtime.errors import BadInput, LiRAError
from lira_runtime.files import atomic_directory

CACHE_VARIABLE = "LIRA_CACHE"
_ENTRY = re.compile("[0-9a-f]{16}-[0-9a-f]{16}")
_CPUINFO = Path("/proc/cpuinfo")


def cache_folder() -> Path:
    """Where packed weights are kept: $LIRA_CACHE, else lira in the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lira"


def packed_folder(graph: Path, library: str, pack: Callable[[Path], None]) -> Path:
    """The folder of a graph's packed weights; `pack` fills it where the cache lacks it.

    It is named after the place and state of the graph's files, `library`, which names the engine and its version, and
    the processor: a bundle exported anew is packed anew, and what was packed of it before is removed. Raises BadInput
    where the cache cannot be written, and what `pack` raises.
    """
    place, state = _names(graph, library)
    entry = cache_folder() / f"{place}-{state}"
    if not entry.is_dir():
        try:
            with atomic_directory(entry) as part:
                pack(part)
        except (OSError, LiRAError) as error:
            if not entry.is_dir():  # or another process has packed it meanwhile
                raise BadInput(
                    f"the packed weights of {graph.name} cannot be kept in {entry.parent} ({error}); "
                    f"choose another folder by {CACHE_VARIABLE}, or --weights packed."
                ) from error
        for old in cache_folder().glob(f"{place}-*"):
            if old != entry:
                forget(old)
    return entry


def forget(folder: Path) -> None:
    """Remove packed weights; the next call makes them anew."""
    shutil.rmtree(folder, ignore_errors=True)


def entries() -> list[Path]:
    """Folders of packed weights that the cache holds; whatever else lies there is somebody else's.

    Raises RuntimeError where the user has no home.
    """
    folders = sorted(cache_folder().glob("*-*"))
    return [path for path in folders if _ENTRY.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]


def _names(graph: Path, library: str) -> tuple[str, str]:
    graph = graph.resolve()
    files = [graph, *sorted(graph.parent.glob("*.data"))]
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return _short(str(graph)), _short(repr((state, library, _processor())))


def _processor() -> str:
    """What tells processors of different instruction sets apart."""
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(_features()))])


def _features() -> Iterator[str]:
    try:
        for line in _CPUINFO.read_text().splitlines():
            if line.split(":")[0].strip() in ("model name", "flags", "Features", "CPU part"):
                yield line
    except OSError:
        return


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]

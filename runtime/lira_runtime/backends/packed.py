"""Weights in the layout that this processor's kernels want, kept in files that engines map.

An engine packs the weights of its products when it opens a graph, into memory of the process's own: anonymous pages,
which the system cannot take back. Packed once into a file they are mapped: clean pages of the file. The layout depends
on the processor and the library, so the file belongs to the machine and not to the bundle.
"""

import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from lira_runtime.cache import CACHE_VARIABLE, is_own, is_private, make_cache_folder
from lira_runtime.errors import BadInput, LiRAError
from lira_runtime.files import atomic_directory, sha256_of
from lira_runtime.trust import known
from lira_runtime.trust.known import KnownHashes

RECORD = "packed.json"
"""Name of the file that says what was packed."""
_CPUINFO = Path("/proc/cpuinfo")


class _Packed(Struct, frozen=True):
    """made_of: as `_made_of` has it. files: SHA-256 by name, of all files beside the record."""

    made_of: str
    files: dict[str, str]


def packed_folder(graph: Path, library: str, pack: Callable[[Path], None]) -> Path:
    """The folder of a graph's packed weights; `pack` fills it where the cache lacks it.

    It is named after the place of the graph's file and after what makes its content: the SHA-256 of the graph's files,
    `library`, which names the engine and its version, and the processor. What was packed of that place before is
    removed. An entry in which anything is not as it was written, or that others can look into, is made anew. Raises
    BadInput where the cache cannot be written or is not to be trusted, and what `pack` raises.
    """
    cache, made_of = _cache(graph), _made_of(graph, library)
    place = _sha256(os.fsencode(graph.resolve()))[:16]
    entry = cache / f"{place}-{made_of[:16]}"
    if not _is_whole(entry, made_of):
        forget(entry)
        try:
            with atomic_directory(entry, private=True) as part:
                pack(part)
                record = _Packed(made_of, {path.name: sha256_of(path) for path in part.iterdir()})
                (part / RECORD).write_bytes(msgspec.json.encode(record))
        except (OSError, LiRAError) as error:
            if not _is_whole(entry, made_of):  # or another process has packed it meanwhile
                raise _not_kept(graph, str(error)) from error
        for old in cache.glob(f"{place}-*"):
            if old != entry:
                forget(old)
    return entry


def forget(folder: Path) -> None:
    """Remove packed weights; the next call makes them anew."""
    shutil.rmtree(folder, ignore_errors=True)
    known.forget(folder)


def _cache(graph: Path) -> Path:
    try:
        return make_cache_folder()
    except (OSError, LiRAError) as error:
        raise _not_kept(graph, str(error)) from error


def _not_kept(graph: Path, reason: str) -> BadInput:
    return BadInput(
        f"the packed weights of {graph.name} cannot be kept ({reason.removesuffix('.')}); "
        f"choose another folder by {CACHE_VARIABLE}, or --weights packed."
    )


def _is_whole(entry: Path, made_of: str) -> bool:
    """Whether the entry is this user's alone, made of this, and every file in it is what it was when it was packed."""
    try:
        if not is_private(entry):
            return False
        record = msgspec.json.decode((entry / RECORD).read_bytes(), type=_Packed)
        if record.made_of != made_of or {path.name for path in entry.iterdir()} != {RECORD, *record.files}:
            return False
        hashes = KnownHashes(entry)
        whole = all(is_own(entry / name) and hashes.sha256(name) == sha256 for name, sha256 in record.files.items())
        hashes.save()
        return whole
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False


def _made_of(graph: Path, library: str) -> str:
    """SHA-256 of what packed weights depend on: content, not times, which many copies of bundles share."""
    hashes = KnownHashes(graph.parent)
    names = [graph.name, *sorted(path.name for path in graph.parent.glob("*.data") if path.is_file())]
    content = [(name, hashes.sha256(name)) for name in names]
    hashes.save()
    return _sha256(os.fsencode(repr((content, library, _processor()))))


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


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

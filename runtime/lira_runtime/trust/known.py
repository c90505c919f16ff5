"""Files whose SHA-256 was found right before, so that a second start does not read them again.

A file counts as the same while its size, its times of change (`mtime`, and `ctime`, which no program sets) and its
inode are, under the same manifest. Somebody who can set the clock back, or write to the user's cache folder, can
deceive this; `lira-verify` never asks it.
"""

import hashlib
import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from lira_runtime.backends.packed import cache_folder
from lira_runtime.errors import LiRAError
from lira_runtime.files import atomic_write
from lira_runtime.manifest_entries import FileEntry
from lira_runtime.trust.files import read_hash

FOLDER = "checked"
SETTLED_NS = 2_000_000_000
"""A file that changed within this is not remembered: the clocks of file systems have ticks of up to 2 s."""

State = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, inode."""


class _Record(Struct):
    manifest: str
    files: dict[str, State]


class KnownFiles:
    """What is known of the bundle in `directory`, whose manifest has the SHA-256 `digest`."""

    def __init__(self, directory: Path, digest: str) -> None:
        self._path = _record_path(directory)
        found = None if self._path is None else _read(self._path)
        self._record = found if found and found.manifest == digest else _Record(digest, {})
        self._changed = False

    def has_hash(self, directory: Path, entry: FileEntry) -> bool:
        """Whether a file has its SHA-256; it is read where that is not known."""
        state = _state(directory / entry.path)
        if self._record.files.get(entry.path) == state:
            return True
        right = read_hash(directory, entry)
        # What changed while it was read, or may change within the same tick of the clock, is read again the next time.
        if right and state == _state(directory / entry.path) and max(state[1:3]) < time.time_ns() - SETTLED_NS:
            self._record.files[entry.path] = state
            self._changed = True
        return right

    def save(self) -> None:
        """Keep what was found; where the cache cannot be written, the next start reads the files again."""
        if not self._changed or self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as part:
                part.write_bytes(msgspec.json.encode(self._record))
        except (OSError, LiRAError):
            return


def _record_path(directory: Path) -> Path | None:
    """Where a bundle's record is kept; None for a user without a home."""
    place = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()
    try:
        return cache_folder() / FOLDER / f"{place[:16]}.json"
    except RuntimeError:
        return None


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read(path: Path) -> _Record | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None

"""SHA-256 of files that were read before, so that a second start does not read them again.

A file counts as the same while its size, its times of change (`mtime`, and `ctime`, which no program sets) and its
inode are. Somebody who can set the clock back, or write to the user's cache folder, can deceive this; `lira-verify`
never asks it.
"""

import hashlib
import os
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from lira_runtime.cache import cache_folder, is_own, make_cache_folder
from lira_runtime.errors import LiRAError
from lira_runtime.files import atomic_write, sha256_of
from lira_runtime.manifest_entries import FileEntry

FOLDER = "checked"
SETTLED_NS = 2_000_000_000
"""A file that changed within this is not remembered: the clocks of file systems have ticks of up to 2 s."""

State = tuple[int, int, int, int]
"""Size, mtime and ctime in ns, inode."""


class _Known(Struct, frozen=True):
    state: State
    sha256: str


class KnownHashes:
    """What is known of the files in a folder, by their paths in it; the folder is a bundle, or holds packed weights."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = _record_path(directory)
        self._files = {} if self._path is None else _read(self._path)
        self._changed = False

    def sha256(self, name: str) -> str:
        """A file's SHA-256; it is read where that is not known. Raises OSError where it cannot be."""
        path = self._directory / name
        state = _state(path)
        known = self._files.get(name)
        if known is not None and known.state == state:
            return known.sha256
        found = sha256_of(path)
        # What changed while it was read, or may change within the same tick of the clock, is read again the next time.
        if state == _state(path) and max(state[1:3]) < time.time_ns() - SETTLED_NS:
            self._files[name] = _Known(state, found)
            self._changed = True
        return found

    def has_hash(self, directory: Path, entry: FileEntry) -> bool:
        """The `lira_runtime.trust.files.HasHash` that asks what is known."""
        return self.sha256(entry.path) == entry.sha256

    def save(self) -> None:
        """Keep what was found; where the cache cannot be written, the next start reads the files again."""
        if not self._changed or self._path is None:
            return
        try:
            make_cache_folder()
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            with atomic_write(self._path) as part:
                part.write_bytes(msgspec.json.encode(self._files))
            self._path.chmod(0o600)  # whatever the umask: what others can write is not believed
        except (OSError, LiRAError):
            return


def forget(directory: Path) -> None:
    """Remove what is known of a folder that is no more."""
    path = _record_path(directory)
    if path is not None:
        path.unlink(missing_ok=True)


def _record_path(directory: Path) -> Path | None:
    """Where a folder's record is kept; None for a user without a home."""
    place = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()
    try:
        return cache_folder() / FOLDER / f"{place[:16]}.json"
    except RuntimeError:
        return None


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read(path: Path) -> dict[str, _Known]:
    try:
        if not is_own(path):
            return {}
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Known])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}

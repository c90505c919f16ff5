"""WebDataset shards: plain tar files whose neighbouring members KEY.EXTENSION make up one sample.

A shard's headers are read once; after that any sample is one read at a known place. Remote shards are copied to a
cache folder first.
"""

import hashlib
import os
import sys
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lira.data.remote import expand, local_copy
from lira_runtime.errors import BadInput
from lira_runtime.progress import Progress

LARGEST_LOSS = 0.01
"""Share of shards, or of samples, that may be unusable before work is refused."""
DAMAGE = (OSError, tarfile.TarError, UnicodeDecodeError)
"""What `local_copy` and `read_index` raise for one bad shard among good ones."""
COPIES_AT_ONCE = 8


def check_loss(lost: int, total: int, what: str) -> None:
    """Raise BadInput when more than 1 % of `total` are lost; `what` names them, such as 'shards'."""
    if lost > LARGEST_LOSS * total:
        raise BadInput(f"{lost} of {total} {what} cannot be used, more than {LARGEST_LOSS:.0%}.")


class BadSample(BadInput):
    """One sample cannot be used: it is damaged, incomplete or too small. The others still can."""


@dataclass(frozen=True)
class ShardIndex:
    """Where the samples of one shard lie: sample i holds the members first[i] .. first[i + 1] - 1."""

    path: Path
    keys: list[str]
    extensions: list[str]
    """Of every member."""
    offsets: NDArray[np.int64]
    """Of every member's content, in bytes from the start of the file."""
    sizes: NDArray[np.int64]
    """Of every member's content, in bytes."""
    first: NDArray[np.int64]

    def name(self, place: int) -> str:
        """Shard and key of sample number `place`, as messages name it."""
        return f"{self.path.name}:{self.keys[place]}"

    def read(self, place: int) -> dict[str, bytes]:
        """The files of sample number `place`, by extension. Raises BadSample when they cannot be read any more."""
        members = range(self.first[place], self.first[place + 1])
        start = int(self.offsets[members[0]])
        size = int(self.offsets[members[-1]] + self.sizes[members[-1]]) - start
        try:
            # A file opened anew each time costs microseconds, and thousands of shards need no thousands of handles.
            with open(self.path, "rb", buffering=0) as file:
                content = os.pread(file.fileno(), size, start)
        except OSError as error:
            raise BadSample(f"{self.name(place)} cannot be read: {error}") from error
        if len(content) != size:
            raise BadSample(f"{self.name(place)} cannot be read: {self.path} has become shorter since it was opened")
        places = ((m, int(self.offsets[m]) - start) for m in members)
        return {self.extensions[m]: content[at : at + int(self.sizes[m])] for m, at in places}


class ShardSet:
    """The samples of many shards, in the shards' order, read at random.

    Args:
        urls: local paths, globs, ranges such as `{000..010}`, or URLs that fsspec knows.
        cache: folder for copies of remote shards.
        json: warnings as JSON lines.

    Raises:
        BadInput: no shard or no sample found, more than 1 % of the shards damaged (fewer are named on stderr and
            skipped), or a remote shard without a cache folder.
    """

    def __init__(self, urls: Sequence[str] | str, cache: Path | None = None, json: bool = False) -> None:
        progress = Progress(0, "shards", json)
        found = [shard for url in ([urls] if isinstance(urls, str) else urls) for shard in expand(url)]
        if not found:
            raise BadInput(f"No shards at {urls if isinstance(urls, str) else ', '.join(urls)}.")
        self.damaged: list[str] = []
        self._shards: list[ShardIndex] = []
        with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            for url, shard in zip(found, pool.map(lambda url: _open(url, cache), found), strict=True):
                if isinstance(shard, ShardIndex):
                    self._shards.append(shard)
                else:
                    self.damaged.append(url)
                    progress.warn(f"shard {url} is skipped: {shard}.")
        check_loss(len(self.damaged), len(found), f"shards ({', '.join(self.damaged[:3])})")
        if not any(shard.keys for shard in self._shards):
            raise BadInput(f"There is no sample in {found[0]}{' ..' if len(found) > 1 else ''}.")
        self._ends = np.cumsum([len(shard.keys) for shard in self._shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def digest(self) -> str:
        """SHA-256 of all headers: names, places and sizes."""
        digest = hashlib.sha256()
        for shard in self._shards:
            names = "\n".join([*shard.keys, "", *shard.extensions])
            digest.update(names.encode(errors="surrogateescape") + shard.offsets.tobytes() + shard.sizes.tobytes())
        return digest.hexdigest()

    def name(self, index: int) -> str:
        """Shard and key of a sample, as messages name it."""
        number, place = locate(self._ends, index)
        return self._shards[number].name(place)

    def read(self, index: int) -> dict[str, bytes]:
        """The files of sample `index`, by extension. Raises BadSample when they cannot be read any more."""
        number, place = locate(self._ends, index)
        return self._shards[number].read(place)


def locate(ends: NDArray[np.int64], index: int) -> tuple[int, int]:
    """Number of the shard that holds sample `index`, and its place in it; ends[i]: samples of the shards 0 .. i."""
    if not 0 <= index < ends[-1]:
        raise IndexError(f"sample {index} of {ends[-1]}")
    number = int(np.searchsorted(ends, index, side="right"))
    return number, index - (int(ends[number - 1]) if number else 0)


def _open(url: str, cache: Path | None) -> ShardIndex | Exception:
    try:
        return read_index(local_copy(url, cache))
    except DAMAGE as error:
        return error


def read_index(path: Path) -> ShardIndex:
    """Read a shard's headers. Raises tarfile.TarError or OSError when it is no whole, plain tar file."""
    keys: list[str] = []
    extensions: list[str] = []
    offsets: list[int] = []
    sizes: list[int] = []
    first: list[int] = []
    with tarfile.open(path, "r:") as archive:
        for member in _files(archive):
            folder, _, name = member.name.rpartition("/")
            stem, _, extension = name.partition(".")
            key = f"{folder}/{stem}" if folder else stem
            if not keys or key != keys[-1]:
                keys.append(key)
                first.append(len(offsets))
            extensions.append(sys.intern(extension.lower()))
            offsets.append(member.offset_data)
            sizes.append(member.size)
        archive.fileobj.seek(archive.offset)
        # tarfile takes a damaged header, or the end of the file, for the archive's end; only zeros are one.
        if archive.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError(f"damaged or cut off at byte {archive.offset}")
    return ShardIndex(path, keys, extensions, *map(_integers, (offsets, sizes, [*first, len(offsets)])))


def _integers(numbers: list[int]) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def _files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
        if member.isreg() and not member.name.rpartition("/")[2].startswith("."):
            yield member

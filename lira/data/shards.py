"""WebDataset shards: plain tar files whose neighbouring members KEY.EXTENSION make up one sample.

A shard's headers are read once; after that any sample is one read at a known place. Remote shards are copied to a
cache folder first.
"""

import hashlib
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write
from lira_runtime.progress import Progress

LARGEST_LOSS = 0.01
"""Share of shards, or of samples, that may be damaged before work is refused."""
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def check_loss(lost: int, total: int, what: str) -> None:
    """Raise BadInput when more than 1 % of `total` are lost; `what` names them, such as 'shards'."""
    if lost > LARGEST_LOSS * total:
        raise BadInput(f"{lost} of {total} {what} are damaged or missing, more than {LARGEST_LOSS:.0%}.")


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
        for url in found:
            try:
                self._shards.append(read_index(local_copy(url, cache)))
            except (FileNotFoundError, tarfile.TarError, UnicodeDecodeError) as error:
                self.damaged.append(url)
                progress.warn(f"shard {url} is skipped: {error}.")
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
        shard, place = self._locate(index)
        return f"{shard.path.name}:{shard.keys[place]}"

    def read(self, index: int) -> dict[str, bytes]:
        """The files of sample `index`, by extension. Raises BadInput when the shard has changed since it was opened."""
        shard, place = self._locate(index)
        members = range(shard.first[place], shard.first[place + 1])
        start = int(shard.offsets[members[0]])
        size = int(shard.offsets[members[-1]] + shard.sizes[members[-1]]) - start
        # A file opened anew each time costs microseconds, and thousands of shards need no thousands of handles.
        with open(shard.path, "rb", buffering=0) as file:
            content = os.pread(file.fileno(), size, start)
        if len(content) != size:
            raise BadInput(f"{shard.path} has become shorter since it was opened.")
        places = ((m, int(shard.offsets[m]) - start) for m in members)
        return {shard.extensions[m]: content[at : at + int(shard.sizes[m])] for m, at in places}

    def _locate(self, index: int) -> tuple[ShardIndex, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self._shards[number], index - int(self._ends[number]) + len(self._shards[number].keys)


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


def expand(url: str) -> list[str]:
    """Every shard that `url` stands for, in order; it may hold number ranges and globs. Raises BadInput."""
    if (span := _RANGE.search(url)) is not None:
        low, high = span.groups()
        numbers = range(int(low), int(high) + 1)
        return [s for n in numbers for s in expand(f"{url[: span.start()]}{n:0{len(low)}}{url[span.end() :]}")]
    if not any(sign in url for sign in "*?["):
        return [url]
    if "://" not in url:
        return sorted(glob(url, recursive=True))
    filesystem, path = open_filesystem(url)
    return sorted(filesystem.unstrip_protocol(match) for match in filesystem.glob(path))


def open_filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL and the path in it. Raises BadInput when fsspec cannot open it."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise BadInput(f"{url} cannot be opened: {error}.") from error


def local_copy(url: str, cache: Path | None) -> Path:
    """The file that `url` names: itself where local, else a copy in `cache`, made unless one of the same size is there.

    Raises OSError when it cannot be fetched, BadInput when it is remote and there is no cache folder.
    """
    if "://" not in url:
        return Path(url)
    if cache is None:
        raise BadInput(f"{url} is remote: give a cache folder for the copies.")
    filesystem, path = open_filesystem(url)
    digest = hashlib.sha256(filesystem.unstrip_protocol(path).encode()).hexdigest()
    copy = cache / f"{digest[:16]}-{url.rpartition('/')[2]}"
    if not copy.is_file() or copy.stat().st_size != filesystem.size(path):
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_write(copy) as part:
            filesystem.get_file(path, str(part))
    return copy

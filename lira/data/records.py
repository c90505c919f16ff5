"""What `lira-encode` keeps of every shard it wrote, DIR/shards.json, and shards that are opened and checked by it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from lira.data.remote import is_remote, local_copy, read_now
from lira.data.shards import DAMAGE, BadSample, ShardIndex, locate, read_index
from lira_runtime.errors import BadInput
from lira_runtime.files import sha256_of

RECORDS_NAME = "shards.json"


class ShardRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shard."""

    samples: int
    cut: int
    """Captions that the text encoder did not see whole."""
    sha256: str
    """Of the file."""


class BadShard(BadSample):
    """No sample of a shard can be used; samples: their indices."""

    def __init__(self, sentence: str, samples: range) -> None:
        super().__init__(sentence)
        self.samples = samples


class RecordedShards:
    """The samples of recorded shards, read at random. A shard is fetched, checked and indexed at its first use.

    urls: paths, or URLs that fsspec knows;  cache: folder for copies of remote shards.
    """

    def __init__(self, urls: Sequence[str], records: Sequence[ShardRecord], cache: Path | None = None) -> None:
        self._urls, self._records, self._cache = urls, records, cache
        self._ends = np.cumsum([record.samples for record in records])
        self._opened: dict[int, ShardIndex | BadShard] = {}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        """Shard and key of a sample, as messages name it. Raises BadShard as `read` does."""
        number, place = locate(self._ends, index)
        return self._shard(number).name(place)

    def read(self, index: int) -> dict[str, bytes]:
        """The files of sample `index`, by extension.

        Raises BadSample when they cannot be read, BadShard when the shard is missing or not what was recorded.
        """
        number, place = locate(self._ends, index)
        return self._shard(number).read(place)

    def _shard(self, number: int) -> ShardIndex:
        if number not in self._opened:
            self._opened[number] = self._open(number)
        shard = self._opened[number]
        if isinstance(shard, BadShard):
            raise shard
        return shard

    def _open(self, number: int) -> ShardIndex | BadShard:
        url, record, end = self._urls[number], self._records[number], int(self._ends[number])
        try:
            return read_index(_checked(url, self._cache, record.sha256))
        except DAMAGE as error:
            return BadShard(f"shard {url} cannot be used: {error}", range(end - record.samples, end))


def _checked(url: str, cache: Path | None, sha256: str) -> Path:
    for anew in (False, True):
        path = local_copy(url, cache, version=sha256, anew=anew)
        if sha256_of(path) == sha256:
            return path
        if not is_remote(url):  # else the copy alone may be damaged
            break
    raise OSError("its SHA-256 is not the one that lira-encode recorded")


def read_records(folder: Path | str) -> list[ShardRecord]:
    """Read shards.json; none where there is no such file. Raises BadInput when it is damaged, OSError when unreadable.

    An older folder has none, and one that is being written only those of its first shards.
    """
    name = f"{folder}/{RECORDS_NAME}"
    try:
        return msgspec.json.decode(read_now(name), type=list[ShardRecord])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise BadInput(f"{name} is damaged ({error}): delete it, and run lira-encode once more.") from error

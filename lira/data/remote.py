"""Files behind paths and URLs: what a pattern stands for, what a file holds now, and copies of remote ones."""

import errno
import hashlib
import re
from collections.abc import Callable
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write

T = TypeVar("T")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_VERSIONS = ("etag", "md5hash", "content-md5", "mtime", "last-modified", "lastmodified", "last_modified", "created")
"""What fsspec's back ends call the fields of which any tells one content of a file from the next; the best first."""


def expand(url: str) -> list[str]:
    """Every shard that `url` stands for, in order; it may hold number ranges and globs.

    Raises BadInput where fsspec cannot open it, OSError where its back end fails.
    """
    if (span := _RANGE.search(url)) is not None:
        low, high = span.groups()
        numbers = range(int(low), int(high) + 1)
        return [s for n in numbers for s in expand(f"{url[: span.start()]}{n:0{len(low)}}{url[span.end() :]}")]
    if not any(sign in url for sign in "*?["):
        return [url]
    if not is_remote(url):
        return sorted(glob(url, recursive=True))
    filesystem, path = _open_filesystem(url)
    return sorted(filesystem.unstrip_protocol(match) for match in _twice(lambda: filesystem.glob(path)))


def is_remote(url: str) -> bool:
    """Whether `url` is one, and no path."""
    return "://" in url


def read_now(url: str) -> bytes:
    """What a file holds now, past any cache. Raises OSError when it cannot be read, BadInput as `expand` does."""
    if not is_remote(url):
        return Path(url).read_bytes()
    filesystem, path = _open_filesystem(url)
    return bytes(_twice(lambda: filesystem.cat_file(path)))


def local_copy(url: str, cache: Path | None, version: str | None = None, anew: bool = False) -> Path:
    """The file that `url` names: itself where local, else a copy in `cache`, fetched unless it is there.

    Args:
        version: what tells the content from an earlier or later one at the same URL; None: the ETag, the time or at
            least the size, whichever the back end gives first.
        anew: fetch even what is there.

    Raises:
        OSError: it cannot be fetched, nor when tried once more.
        BadInput: it is remote and there is no cache folder, or the disk is full.
    """
    if not is_remote(url):
        return Path(url)
    if cache is None:
        raise BadInput(f"{url} is remote: give a cache folder for the copies.")
    filesystem, path = _open_filesystem(url)
    if version is None:
        version = _version(_twice(lambda: filesystem.info(path)))
    digest = hashlib.sha256(f"{filesystem.unstrip_protocol(path)}\n{version}".encode()).hexdigest()
    copy = cache / f"{digest[:16]}-{url.rpartition('/')[2]}"
    if anew or not copy.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_write(copy) as part:
            _twice(lambda: filesystem.get_file(path, str(part)))
    return copy


def _open_filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise BadInput(f"{url} cannot be opened: {error}.") from error


def _version(info: dict[str, Any]) -> str:
    told = {name.lower(): value for name, value in info.items()}
    best = next((name for name in _VERSIONS if told.get(name)), "size")
    return f"{best} {told.get(best)}, {told.get('size')} bytes"


def _twice(ask: Callable[[], T]) -> T:
    """The answer of a back end, asked once more where it fails; whatever it raises then becomes an OSError."""
    try:
        return ask()
    except FileNotFoundError:
        raise
    except Exception as error:  # every back end has exceptions of its own
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInput("the disk is full; a copy of remote data was not kept.") from error
    try:
        return ask()
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error

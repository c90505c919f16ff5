"""The user's cache folder, where packed weights and the SHA-256 of files are kept."""

import os
import re
import stat
from pathlib import Path

from lira_runtime.errors import BadInput
from lira_runtime.files import check_unicode_name

CACHE_VARIABLE = "LIRA_CACHE"
_ENTRY = re.compile("[0-9a-f]{16}-[0-9a-f]{16}")
_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def cache_folder() -> Path:
    """Where it is: $LIRA_CACHE, else lira in the user's cache folder. Raises RuntimeError for a user without a home."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lira"


def make_cache_folder() -> Path:
    """The folder, made where it is not there: for its owner's eyes alone, since engines open what lies in it.

    Raises BadInput where another user could exchange what lies in it, its name is no Unicode, or the user has no home,
    OSError where it cannot be made.
    """
    try:
        folder = cache_folder()
    except RuntimeError as error:
        raise BadInput(f"this user has no home, so there is no cache folder; name one by {CACHE_VARIABLE}.") from error
    check_unicode_name(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    exchangeable = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    if found.st_uid not in (0, os.geteuid()) or exchangeable:
        raise BadInput(
            f"another user could exchange what lies in the cache folder {folder}; name another by {CACHE_VARIABLE}."
        )
    return folder


def packed_entries() -> list[Path]:
    """Folders of packed weights that the cache holds; whatever else lies there is somebody else's.

    Raises RuntimeError where the user has no home.
    """
    folders = sorted(cache_folder().glob("*-*"))
    return [path for path in folders if _ENTRY.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]


def is_own(path: Path) -> bool:
    """Whether `path` is no link, this user's, and nobody else can write it."""
    found = path.lstat()
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return not stat.S_ISLNK(found.st_mode) and found.st_uid == os.geteuid() and not writable


def is_private(path: Path) -> bool:
    """Whether `path` is a folder that nobody but this user can look into."""
    found = path.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _BY_OTHERS

"""Writing that never leaves half a result: write beside the goal, fsync, rename."""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from lira_runtime.errors import BadInput
from lira_runtime.swap import ASIDE_SUFFIX, bring_back, fsync, swap_in

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.sig"
OTHER_PICTURES = (".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".svg", ".pdf")
_CHUNK_BYTES = 1 << 20
_PART_PREFIX, _PART_SUFFIX = ".lira-", ".part"
_NAME_BYTES = 200
"""Of a temporary name that are its goal's; it has at most 255."""


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the lower-case hexadecimal SHA-256 of a file, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_write(goal: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `goal`; at the end it is fsynced and renamed onto `goal`.

    On any error the temporary file is removed and `goal` is left as it was. Raises BadInput when `goal`
    is a directory or its folder does not exist.
    """
    goal = Path(goal)
    check_writable_file(goal)
    handle, name = tempfile.mkstemp(prefix=_prefix(goal), suffix=_PART_SUFFIX, dir=goal.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp is private by design; a result is an ordinary file
        fsync(part)
        os.replace(part, goal)
        fsync(goal.parent)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove the temporary files in `folder` that `atomic_write` leaves when it is killed; nothing may be writing."""
    for part in folder.glob(f"{_PART_PREFIX}*{_PART_SUFFIX}"):
        if part.is_file() and not part.is_symlink():
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(goal: str | os.PathLike[str], overwrite: bool = False, private: bool = False) -> Iterator[Path]:
    """Yield a temporary sibling directory that becomes `goal` at the end, whole or not at all.

    An existing empty directory is replaced. An existing bundle (it holds a manifest.json) is replaced only with
    `overwrite`; any other existing thing is refused with BadInput before work starts. private: for its owner alone.
    """
    masked = 0o077 if private else _umask()
    goal = Path(os.path.abspath(goal))
    check_replaceable_directory(goal, overwrite)
    goal.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=_prefix(goal), suffix=_PART_SUFFIX, dir=goal.parent))
    try:
        yield part
        part.chmod(0o777 & ~masked)
        for path in sorted(part.rglob("*")):
            path.chmod((0o777 if path.is_dir() else 0o666) & ~masked)  # some libraries write private files
            fsync(path)
        fsync(part)
        check_replaceable_directory(goal, overwrite)  # minutes may have passed since the first look
        swap_in(part, goal, _prefix(goal))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_leftovers(goal: Path) -> None:
    """Remove what killed calls of `atomic_directory` or `atomic_write` left beside this very goal; nobody may be
    making it. An old directory that a killed swap left aside goes back to its place.
    """
    pattern = re.compile(re.escape(_prefix(goal)) + rf"\w+({re.escape(_PART_SUFFIX)}|{re.escape(ASIDE_SUFFIX)})")
    for path in sorted(goal.parent.iterdir()):
        if not pattern.fullmatch(path.name) or path.is_symlink():
            continue
        if path.is_file():
            path.unlink(missing_ok=True)
        elif path.suffix == ASIDE_SUFFIX:
            bring_back(path, goal)
        else:
            shutil.rmtree(path, ignore_errors=True)


def check_writable_file(goal: Path) -> None:
    """Raise BadInput when `goal` cannot become a file: it is something else, or its folder is missing or read-only."""
    if goal.is_dir():
        raise BadInput(f"{goal} is a directory; give the name of a file to write.")
    if goal.exists() and not goal.is_file():
        raise BadInput(f"{goal} is not an ordinary file, so it cannot be replaced.")
    if not goal.parent.is_dir():
        raise BadInput(f"the folder {goal.parent} does not exist; create it first.")
    check_writable_folder(goal.parent)


def check_writable_folder(folder: Path) -> None:
    """Raise BadInput unless a file can be made in an existing folder; permissions alone do not tell."""
    try:
        # Without a name, where the system can: a process that is killed here leaves nothing.
        with tempfile.TemporaryFile(prefix=_PART_PREFIX, suffix=_PART_SUFFIX, dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadInput(f"the folder {folder} cannot be written to: {reason}.", "not_writable") from error


def check_unicode_name(folder: Path) -> None:
    """Raise BadInput where engines could not open what lies in `folder`: its path, as it was given, is no Unicode."""
    try:
        str(folder).encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"the name {folder} is no UTF-8, and engines open no other; rename it.") from error


def check_png_name(goal: Path) -> None:
    """Raise BadInput where a name says another format of pictures than PNG, which is what is written."""
    if goal.suffix.lower() in OTHER_PICTURES:
        raise BadInput(f"{goal} would hold a PNG; give it a name that ends in .png.")


def check_outputs(goals: Sequence[Path | None], bundles: Sequence[Path]) -> None:
    """Raise BadInput where a goal cannot become a file, would fall on another, or lies in a bundle that is read."""
    given = [goal for goal in goals if goal is not None]
    for goal in given:
        check_writable_file(goal)
        for bundle in bundles:
            if goal.resolve().is_relative_to(bundle.resolve()):
                raise BadInput(f"{goal} lies in the bundle {bundle}; choose a place outside of it.")
    if len({goal.resolve() for goal in given}) < len(given):
        raise BadInput(f"{given[-1]} is given for two outputs; give each a name of its own.")


def check_replaceable_directory(goal: Path, overwrite: bool) -> None:
    """Raise BadInput when `goal` exists and is neither an empty directory nor a bundle we may overwrite."""
    if goal.is_symlink() or (goal.exists() and not goal.is_dir()):
        raise BadInput(f"{goal} exists and is not a directory.")
    above = next((ancestor for ancestor in goal.parents if ancestor.exists()), goal)
    if not above.is_dir():
        raise BadInput(f"{above} is not a directory, so {goal} cannot be created.")
    check_writable_folder(above)
    if not goal.is_dir() or not any(goal.iterdir()):
        return
    if not (goal / MANIFEST_NAME).is_file():
        raise BadInput(f"{goal} is not empty and is not a bundle; choose another place.", "exists")
    if not overwrite:
        raise BadInput(f"{goal} already holds a bundle; choose another place or ask to overwrite it.", "exists")


def _prefix(goal: Path) -> str:
    """Of what becomes `goal`; ends in a dot, and what `tempfile` adds has none.

    Of a long name its beginning and a digest of the whole: names of the same beginning do not share what is temporary.
    """
    name = os.fsencode(goal.name)
    if len(name) > _NAME_BYTES:
        digest = hashlib.sha256(name).hexdigest()[:16].encode()
        name = name[: _NAME_BYTES - len(digest) - 1] + b"-" + digest
    return f"{_PART_PREFIX}{os.fsdecode(name)}."


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current

"""The files of a bundle against its manifest: all there, nothing else, no links, sizes and SHA-256."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from msgspec import Struct

from lira_runtime.codes import Code
from lira_runtime.files import MANIFEST_NAME, SIGNATURE_NAME, sha256_of
from lira_runtime.manifest_entries import FileEntry, Manifest
from lira_runtime.say import escaped
from lira_runtime.trust.check import Check


class Fault(Struct, frozen=True):
    """What is wrong with one file, in a sentence."""

    code: Code
    sentence: str


HasHash = Callable[[Path, FileEntry], bool]
"""The bundle's folder and a file's entry -> whether the file has the SHA-256 that the entry says."""


def read_hash(directory: Path, entry: FileEntry) -> bool:
    """The `HasHash` that reads the file."""
    return sha256_of(directory / entry.path) == entry.sha256


def file_fault(directory: Path, entry: FileEntry, has_hash: HasHash = read_hash) -> Fault | None:
    """What is wrong with a file of the bundle in `directory`, None where it is as its entry says.

    Raises OSError where it cannot be read.
    """
    path = directory / entry.path
    if link := _link_on_the_way(directory, entry.path):
        return Fault("link", f"{link} of the bundle {directory} is a link, which may point outside of it.")
    if not path.is_file():
        return Fault("missing", f"the bundle {directory} lacks the file {entry.path}.")
    size = path.stat().st_size
    if size != entry.bytes:
        return Fault("wrong_size", f"{entry.path} has {size} bytes, but its manifest says {entry.bytes}.")
    if not has_hash(directory, entry):
        altered = f"{entry.path} does not have the SHA-256 its manifest says: the file was altered."
        return Fault("wrong_sha256", altered)
    return None


def _link_on_the_way(directory: Path, relative: str) -> str | None:
    """The file, or the folder that it lies in, where that is a link."""
    path = PurePosixPath(relative)
    steps = [*reversed(path.parents[:-1]), path]
    return next((str(step) for step in steps if (directory / step).is_symlink()), None)


def check_files(directory: Path, manifest: Manifest) -> Iterator[Check]:
    """One check for each file that the manifest names, and one for each thing that it does not."""
    for entry in manifest.files():
        try:
            fault = file_fault(directory, entry)
        except OSError as error:
            fault = Fault("unreadable", f"{entry.path} cannot be read: {error.strerror or error}.")
        if fault is None:
            yield Check("file", entry.path)
        else:
            yield Check("file", entry.path, "failed", fault.code, fault.sentence)
    extra = sorted(extra_paths(directory, {entry.path for entry in manifest.files()}))
    if not extra:
        yield Check("extra", "nothing but these files")
    for name in extra:
        yield Check("extra", escaped(name), "failed", "extra", "the manifest does not name it.")


def extra_paths(directory: Path, named: Iterable[str]) -> Iterator[str]:
    """Files, folders and links of the bundle that are neither named nor on the way to one that is; never followed.

    Raises OSError where a folder cannot be listed.
    """
    files = {MANIFEST_NAME, SIGNATURE_NAME, *named}
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    for folder, inner, names in os.walk(directory, onerror=_stop):
        here = Path(folder).relative_to(directory)
        for name in list(inner):
            place = (here / name).as_posix()
            if place not in folders:
                inner.remove(name)  # what is in it is not listed one by one
                if place not in files or place == SIGNATURE_NAME:  # other files that are folders are missing
                    yield f"{place}/"
        yield from (place for name in names if (place := (here / name).as_posix()) not in files)


def _stop(error: OSError) -> None:
    raise error

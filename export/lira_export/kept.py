"""Finished components, kept until the export that needs them has succeeded, and afterwards found in its bundle."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np

from lira_export.drawing import Drawing
from lira_runtime import manifest
from lira_runtime.errors import LiRAError
from lira_runtime.files import MANIFEST_NAME, atomic_directory, sha256_of
from lira_runtime.manifest import Component, FileEntry
from lira_runtime.trust.files import file_fault

RECORD, DRAWING = "record.json", "drawing.npz"
KEY = re.compile("[0-9a-f]{64}")
Say = Callable[[str], None]


class Kept:
    """What is kept for one output: in `.lira-<name>.kept/<key>` beside it, and the components of the bundle there.

    Whoever uses it holds the output's lock.
    """

    def __init__(self, out: Path, anew: bool = False) -> None:
        """anew: take nothing, and forget what is kept beside the output."""
        self._out = Path(os.path.abspath(out))
        self._folder = self._out.with_name(f".lira-{self._out.name}.kept")
        self._anew = anew
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if anew or not KEY.fullmatch(path.name):  # a killed export kept half of something
                shutil.rmtree(path, ignore_errors=True)

    def keep(self, key: str, component: Component, folder: Path) -> None:
        """Keep a component whose files lie in `folder`; they are linked, so they must not be written to again."""
        shutil.rmtree(self._folder / key, ignore_errors=True)  # it is there where it was damaged
        with atomic_directory(self._folder / key) as part:
            _place(component.files, folder, part)
            (part / RECORD).write_bytes(msgspec.json.encode(component))

    def take(self, key: str, name: str, folder: Path, say: Say) -> Component | None:
        """Put the files of the component of this key into `folder` and return its record; None where there is none.

        What is damaged is said and left alone.
        """
        for source, found in ((self._folder / key, self._record), (self._out, self._in_bundle)):
            component, whole = None, False
            try:
                component = found(key)
                whole = component is None or (component.name == name and _is_whole(component.files, source))
            except (OSError, msgspec.DecodeError):
                pass
            if component is not None and whole:
                _place(component.files, source, folder)
                return component
            if not whole:
                say(f"{name}: what is kept of it in {source} is damaged, so it is made anew")
        return None

    def keep_drawing(self, key: str, drawing: Drawing) -> None:
        """Keep a drawing's latents and picture."""
        shutil.rmtree(self._folder / key, ignore_errors=True)
        with atomic_directory(self._folder / key) as part:
            np.savez(part / DRAWING, image=drawing.image, x0=np.stack(drawing.x0))
            size, sha256 = (part / DRAWING).stat().st_size, sha256_of(part / DRAWING)
            (part / RECORD).write_bytes(msgspec.json.encode(FileEntry(path=DRAWING, bytes=size, sha256=sha256)))

    def take_drawing(self, key: str) -> Drawing | None:
        """The drawing of this key, without the stages' seconds; None where there is none, or it is damaged."""
        folder = self._folder / key
        try:
            entry = msgspec.json.decode((folder / RECORD).read_bytes(), type=FileEntry)
            if entry.path != DRAWING or file_fault(folder, entry) is not None:
                return None
            with np.load(folder / DRAWING) as arrays:
                return Drawing(tuple(arrays["x0"]), arrays["image"], ())
        except (OSError, msgspec.DecodeError):
            return None

    def clear(self) -> None:
        """Remove all that is kept but the bundle."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _record(self, key: str) -> Component | None:
        if not (self._folder / key).is_dir():
            return None
        return msgspec.json.decode((self._folder / key / RECORD).read_bytes(), type=Component)

    def _in_bundle(self, key: str) -> Component | None:
        if self._anew or not (self._out / MANIFEST_NAME).is_file():
            return None
        try:
            whole = manifest.load(self._out)
        except LiRAError:  # it is about to be replaced, and nothing in it can be asked for by a key
            return None
        return next((each for each in whole.components if each.key == key), None)


def _is_whole(files: tuple[FileEntry, ...], folder: Path) -> bool:
    """Whether all files lie in the folder, and are what they were."""
    inside = all(".." not in (path := PurePosixPath(file.path)).parts and not path.is_absolute() for file in files)
    return inside and all(file_fault(folder, file) is None for file in files)


def _place(files: tuple[FileEntry, ...], source: Path, goal: Path) -> None:
    """Link files from one folder into another, or copy them where the file system has no links."""
    for file in files:
        place = goal / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / file.path, place)
        except OSError:
            shutil.copyfile(source / file.path, place)

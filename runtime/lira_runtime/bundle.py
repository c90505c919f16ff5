"""A bundle on disk, opened only after every byte was checked against its manifest."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from lira_runtime import manifest as manifest_module
from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.files import check_unicode_name
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import Component, FileEntry, Graph, Manifest, TensorFile
from lira_runtime.trust.files import file_fault, read_hash
from lira_runtime.trust.known import KnownHashes

Hashes = Literal["read", "known", "skip"]


@dataclass(frozen=True)
class Bundle:
    """A checked bundle directory; `digest` is the SHA-256 of its manifest.json, and so stands for every file."""

    path: Path
    manifest: Manifest
    digest: str

    @classmethod
    def open(cls, directory: str | os.PathLike[str], hashes: Hashes = "read") -> Self:
        """Open a bundle and check its manifest, and every file's presence, size and SHA-256.

        hashes: "read" every file; "known": but those that were right before and have not changed since
        (`lira_runtime.trust.known`); "skip": look at no SHA-256.
        Raises BadInput when there is no such directory, DamagedBundle for anything wrong inside it.
        """
        path = Path(directory)
        if not path.exists():
            raise BadInput(f"there is no bundle at {path}.", "no_bundle")
        if not path.is_dir():
            raise BadInput(f"{path} is not a bundle: a bundle is a directory.", "no_bundle")
        check_unicode_name(path)
        data = manifest_module.read(path)
        manifest = manifest_module.parse(data)
        digest = hashlib.sha256(data).hexdigest()
        known = KnownHashes(path) if hashes == "known" else None
        has_hash = known.has_hash if known else read_hash if hashes == "read" else _any_hash
        for entry in manifest.files():
            if fault := file_fault(path, entry, has_hash):
                raise DamagedBundle(fault.sentence, fault.code)
        if known:
            known.save()
        return cls(path, manifest, digest)

    def component(self, name: str) -> Component:
        """Return a component's manifest entry; raises BadInput when a partial bundle lacks it."""
        for component in self.manifest.components:
            if component.name == name:
                return component
        raise BadInput(f"the bundle {self.path} holds no {name}.")

    def holds(self, name: str) -> bool:
        """Whether the bundle has the component called `name`."""
        return any(component.name == name for component in self.manifest.components)

    def graph(self, name: str, resolution: int | None = None) -> Graph:
        """Return a component's graph for pictures of `resolution` px, or of the bundle's first resolution.

        Raises BadInput as component() and resolution() do.
        """
        wanted = self.resolution(resolution)
        return next(graph for graph in self.component(name).graphs if graph.resolution in (None, wanted))

    def resolution(self, asked: int | None) -> int:
        """Return the side of the picture in px: `asked` or the default; raises BadInput for one it does not draw."""
        resolutions = self.manifest.resolutions
        if asked is not None and asked not in resolutions:
            have = ", ".join(map(str, resolutions))
            raise BadInput(f"the bundle {self.path} draws at {have} px, not at {asked}; export it with --resolution.")
        return resolutions[0] if asked is None else asked

    def tokenizer_path(self) -> Path:
        """Return the path of the tokenizer's file."""
        return self.path / self.manifest.tokenizer.path

    def empty_prompt(self) -> NDArray[np.float32]:
        """Return the text states (1, 77, d_text) of the empty prompt.

        Raises BadInput when a partial bundle lacks them, DamagedBundle when they are not finite.
        """
        entry = self.manifest.empty_prompt
        if entry is None:
            raise BadInput(f"the bundle {self.path} holds no text states of the empty prompt.")
        return read_tensor(self.path, entry)

    def require_whole(self) -> None:
        """Raise BadInput unless all three components are present."""
        for name in COMPONENTS:
            self.component(name)


def _any_hash(directory: Path, entry: FileEntry) -> bool:
    return True


def read_tensor(directory: Path, entry: TensorFile) -> NDArray[np.float32]:
    """Read a tensor that lies in a bundle's directory; raises DamagedBundle where it is not finite."""
    values = np.fromfile(directory / entry.path, dtype="<f4").astype(np.float32).reshape(entry.shape)
    if not np.isfinite(values).all():
        raise DamagedBundle(f"{entry.path} holds values that are not finite numbers.", "tensor_not_finite")
    return values

"""Fluent Emoji (3-D, MIT licence) as RGBA sprites, from the npm package's .tgz or a folder that holds it unpacked."""

import hashlib
import io
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from lira.data.vocabulary import VOCABULARY
from lira_runtime.errors import BadInput

SOURCE_SIZE = 256
"""Side of a picture in the package, in px."""


class EmojiSet:
    """The vocabulary's pictures by English name.

    Raises BadInput when the path is neither a .tgz nor a folder, or when a picture of the vocabulary is missing.
    """

    def __init__(self, path: Path | str) -> None:
        self._files = _read_pictures(Path(path))
        self._sprites: dict[tuple[str, int], Sprite] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the vocabulary's order."""
        return tuple(VOCABULARY)

    @property
    def digest(self) -> str:
        """SHA-256 of the vocabulary's pictures, by name."""
        return hashlib.sha256(b"".join(n.encode() + self._files[n] for n in sorted(self._files))).hexdigest()

    def sprite(self, name: str, size: int) -> "Sprite":
        """The picture called `name`, resized to `size` x `size` px; cached."""
        key = (name, size)
        if key not in self._sprites:
            picture = Image.open(io.BytesIO(self._files[f"{VOCABULARY[name]}.webp"])).convert("RGBa")
            if picture.size != (size, size):
                picture = picture.resize((size, size), Image.Resampling.LANCZOS)
            self._sprites[key] = Sprite(np.asarray(picture))
        return self._sprites[key]


class Sprite:
    """One picture, alpha-premultiplied, ready to be composited.

    colour: (S, S, 3) uint16, premultiplied, 0..255;  through: (S, S, 1) uint16, 255 - alpha.
    """

    def __init__(self, premultiplied: np.ndarray) -> None:
        self.size = premultiplied.shape[0]
        self.colour = premultiplied[..., :3].astype(np.uint16)
        self.through = 255 - premultiplied[..., 3:].astype(np.uint16)

    def paste(self, canvas: np.ndarray, left: int, top: int) -> None:
        """Composite over `canvas` (H, W, 3) uint8 in place; the parts outside the canvas are cut off."""
        height, width = canvas.shape[:2]
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + self.size, width), min(top + self.size, height)
        if x0 >= x1 or y0 >= y1:
            return
        part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        under = canvas[y0:y1, x0:x1]
        mixed = under * self.through[part]
        mixed += 127
        mixed //= 255
        mixed += self.colour[part]
        # Rounding in the resize can leave a premultiplied colour one above its alpha.
        canvas[y0:y1, x0:x1] = np.minimum(mixed, 255)


def _read_pictures(path: Path) -> dict[str, bytes]:
    wanted = {f"{code}.webp" for code in VOCABULARY.values()}
    if path.is_dir():
        files = {p.name: p.read_bytes() for p in path.rglob("*.webp") if p.name in wanted}
    elif path.is_file():
        files = _read_archive(path, wanted)
    else:
        raise BadInput(f"No emoji package at {path}: give a .tgz or an unpacked folder.")
    missing = sorted(wanted - files.keys())
    if missing:
        raise BadInput(f"{path} lacks {len(missing)} pictures of the vocabulary, the first is {missing[0]}.")
    return files


def _read_archive(path: Path, wanted: set[str]) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                stream = archive.extractfile(member) if name in wanted else None
                if stream is not None:
                    files[name] = stream.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BadInput(f"{path} is no readable .tgz archive: {error}.") from error
    return files

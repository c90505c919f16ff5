"""Where pictures with captions come from: scenes rendered for the demo, and images in shards."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lira.data.emoji import EmojiSet
from lira.data.scenes import CANVAS, EVERYTHING, Jitter, Mix, Scene, render, sample_jitter, sample_split
from lira.data.shards import BadSample, ShardSet
from lira_runtime.errors import BadInput
from lira_runtime.image import square_picture

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
CAPTION_EXTENSION = "txt"
_MOST_REPEATS = 10_000


@dataclass(frozen=True)
class Picture:
    """pixels (H, W, 3) uint8 sRGB with their caption; `key` is theirs alone in the source."""

    key: str
    pixels: NDArray[np.uint8]
    caption: str


class ImageSource(Protocol):
    """Square pictures of one size, read at random, from several threads."""

    @property
    def size(self) -> int:
        """Side in px."""

    @property
    def description(self) -> str:
        """Equal for two sources only when they hold the same pictures."""

    def __len__(self) -> int: ...

    def picture(self, index: int) -> Picture:
        """Picture number `index`. Raises BadSample when it cannot be used."""


class SceneSource:
    """`count` scenes of one split, no two alike, that follow from the seed. Raises BadInput when they run out."""

    size = CANVAS

    def __init__(self, emoji: EmojiSet, count: int, seed: int, mix: Mix = EVERYTHING, held_out: bool = False) -> None:
        self._emoji = emoji
        self.scenes = list(distinct_scenes(count, seed, mix, held_out))
        split = "held-out" if held_out else "training"
        self.description = (
            f"{count} scenes of the {split} split, seed {seed}, {mix.centred} centred, {mix.placed} placed, "
            f"emoji {emoji.digest}"
        )

    def __len__(self) -> int:
        return len(self.scenes)

    def picture(self, index: int) -> Picture:
        """Scene number `index`, rendered."""
        scene, jitter = self.scenes[index]
        return Picture(f"{index:08d}", render(scene, self._emoji, jitter), scene.caption)


def distinct_scenes(
    count: int, seed: int, mix: Mix = EVERYTHING, held_out: bool = False
) -> Iterator[tuple[Scene, Jitter]]:
    """`count` scenes of one split; no two share both the scene and the jitter. Raises BadInput when they run out."""
    rng = np.random.default_rng(seed)
    seen: set[tuple[Scene, Jitter]] = set()
    repeats = 0
    while len(seen) < count:
        item = sample_split(rng, held_out, mix), sample_jitter(rng)
        repeats = repeats + 1 if item in seen else 0
        if repeats > _MOST_REPEATS:
            raise BadInput(f"There are hardly more than {len(seen)} different scenes of this mix, fewer than {count}.")
        if not repeats:
            seen.add(item)
            yield item


class ShardImages:
    """Images KEY.png, .jpg or .webp with captions KEY.txt, cropped to the middle square and resized to `size` px."""

    def __init__(self, shards: ShardSet, size: int) -> None:
        self._shards, self.size = shards, size
        self.description = f"{len(shards)} images, headers {shards.digest}"

    def __len__(self) -> int:
        return len(self._shards)

    def picture(self, index: int) -> Picture:
        """Image number `index`. Raises BadSample when it is damaged, smaller than `size` or has no caption."""
        files, name = self._shards.read(index), self._shards.name(index)
        content = next((files[extension] for extension in IMAGE_EXTENSIONS if extension in files), None)
        if content is None:
            raise BadSample(f"{name} has no image ({', '.join(IMAGE_EXTENSIONS)})")
        caption = files.get(CAPTION_EXTENSION, b"").decode(errors="replace").strip()
        if not caption:
            raise BadSample(f"{name} has no caption")
        try:
            pixels = square_picture(io.BytesIO(content), name, self.size, smallest=self.size)
        except BadInput as error:
            raise BadSample(str(error).removesuffix(".")) from error
        return Picture(f"{index:08d}", pixels, caption)

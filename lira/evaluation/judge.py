"""The judge: a small convolutional classifier that says what a picture shows, without knowing the prompt.

It is trained on real rendered scenes alone, never on generated pictures. Things stand on a grid of 3 x 3 places, so the
judge reads a map: for every place, nothing or which thing, and its size. Everything else follows from the map. The
background is read apart from it, by a vote of the cells.

Letters: b batch, T = 1 + number of things (index 0 is nothing), S sizes, B backgrounds.
"""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from lira.checkpoint import load_module
from lira.data.scenes import BACKGROUNDS, CANVAS, OFFSET, POSITIONS, SIZES, Scene, placements
from lira.data.vocabulary import VOCABULARY

SIDE = 128
"""Side of the picture that the judge looks at, in px."""
CELLS = 8
"""Cells of the features on either side; a place is a window of 4 x 4 cells, half the canvas."""
WIDTHS = (32, 64, 96, 128)
"""Channels at 1/2 (after folding 2 x 2 px), 1/4, 1/8 and 1/16 of SIDE."""
HIDDEN = 256
NOTHING = 0
THINGS = tuple(VOCABULARY)
PLACES = tuple(sorted(POSITIONS, key=lambda name: POSITIONS[name][:0:-1]))
"""The nine positions, row by row."""

Place = str


@dataclass(frozen=True)
class Seen:
    """One thing in a picture: its name, and the size that it would have alone at its place."""

    thing: str
    size: str


@dataclass(frozen=True)
class Reading:
    """What a picture shows: the things by place, and the background."""

    seen: dict[Place, Seen]
    background: str


class Judge(nn.Module):
    """Picture -> map of things, map of sizes, background."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth = WIDTHS
        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_layer(12, first, stride=2),
            *_layer(first, second, stride=1),
            *_layer(second, third, stride=2),
            *_layer(third, third, stride=1),
            *_layer(third, fourth, stride=2),
        )
        self.window = nn.Sequential(nn.Conv2d(fourth, HIDDEN, 4, stride=2, bias=False), nn.BatchNorm2d(HIDDEN))
        self.things = nn.Conv2d(HIDDEN, 1 + len(THINGS), 1)
        self.sizes = nn.Conv2d(HIDDEN, len(SIZES), 1)
        self.background = nn.Conv2d(fourth, len(BACKGROUNDS), 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pictures (b, 3, SIDE, SIDE) float32 in [0, 1] -> logits (b, T, 3, 3), (b, S, 3, 3) and (b, B)."""
        cells = self.trunk(pictures - 0.5)
        places = torch.relu(self.window(cells))
        return self.things(places), self.sizes(places), self.background(cells).mean((2, 3))

    @torch.inference_mode()
    def read(self, pictures: NDArray[np.uint8]) -> list[Reading]:
        """Read pictures (b, H, W, 3) in sRGB, of any size."""
        things, sizes, backgrounds = self(shrink(pictures))
        most_likely = (things.argmax(1).flatten(1), sizes.argmax(1).flatten(1), backgrounds.argmax(1))
        return [reading(*(value.numpy() for value in values)) for values in zip(*most_likely, strict=True)]


def shrink(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures (b, H, W, 3) -> (b, 3, SIDE, SIDE) float32 in [0, 1], by the mean of the pixels that fall together."""
    shrunk = (Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX) for picture in pictures)
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in shrunk])).permute(0, 3, 1, 2).float() / 255


def reading(things: NDArray[np.int64], sizes: NDArray[np.int64], background: NDArray[np.int64]) -> Reading:
    """The reading of a map: things (9,) with 0 for nothing, sizes (9,), background (), all indices."""
    size_names = tuple(SIZES)
    seen = {
        place: Seen(THINGS[thing - 1], size_names[size])
        for place, thing, size in zip(PLACES, things, sizes, strict=True)
        if thing != NOTHING
    }
    return Reading(seen, tuple(BACKGROUNDS)[int(background)])


def truth(scene: Scene) -> Reading:
    """The reading that a picture of the scene deserves."""
    # The things of a pair are as large as a large thing beside the centre, and a pair's size says so.
    seen = {place_at(x, y): Seen(name, scene.size) for name, _, x, y in placements(scene)}
    return Reading(seen, scene.background)


def place_at(x: int, y: int) -> Place:
    """The place whose centre is at x, y (px of the canvas)."""
    column, row = ((value - CANVAS // 2) // OFFSET + 1 for value in (x, y))
    return PLACES[3 * row + column]


def judge_weights() -> Path:
    """The committed judge."""
    return Path(str(resources.files("lira"))) / "weights" / "judge.safetensors"


def load_judge(path: Path) -> Judge:
    """Read a judge, in evaluation mode. Raises BadInput when the file is missing, damaged or of another shape."""
    judge = Judge()
    load_module(judge, path)
    return judge.eval()


def _layer(width_in: int, width_out: int, stride: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    convolution = nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(width_out), nn.ReLU()

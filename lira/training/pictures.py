"""Pictures with their latents, for training and measuring the decoder; the encoder is frozen."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lira.data.shards import BadSample, check_loss
from lira.data.sources import ImageSource
from lira.data.stream import Stream
from lira.training.ahead import ahead
from lira_runtime.errors import BadInput
from lira_runtime.progress import Progress


@dataclass(frozen=True)
class EncodedPictures:
    """Pictures (b, 3, H, W) float32 in [0, 1] and their latents (b, c, h, w) float32, without noise."""

    image: Tensor
    latent: Tensor


def in_floats(pixels: Tensor) -> Tensor:
    """pixels (b, H, W, 3) uint8 sRGB -> (b, 3, H, W) float32 in [0, 1], where they are.

    Bytes are what goes to a device: a quarter of what floats are, and a GPU turns them faster.
    """
    return pixels.permute(0, 3, 1, 2).float().div(255).contiguous()


@torch.no_grad()
def encode(encoder: nn.Module, pixels: NDArray[np.uint8]) -> EncodedPictures:
    """pixels (b, H, W, 3) uint8 sRGB -> the pictures and their latents, where the encoder is."""
    weight = next(encoder.parameters(), torch.empty(0))
    image = in_floats(torch.from_numpy(pixels).to(weight.device))
    return EncodedPictures(image, encoder(image).float())


class Pictures:
    """The batches of a source's pictures in shuffled order, encoded; batch number s is a function of the seed and s.

    A picture that cannot be used is named on stderr and left out of its batch. `encoder`, frozen, makes of an image
    (b, 3, H, W) in [0, 1] a diffusion latent (b, c, h, w). `json` names it in JSON lines.
    """

    def __init__(self, source: ImageSource, encoder: nn.Module, batch: int, seed: int, json: bool = False) -> None:
        self._source, self._encoder, self._batch = source, encoder, batch
        self._stream = Stream(source, seed)
        self._bad: set[int] = set()
        self._progress = Progress(0, "pictures", json)

    def draw(self, number: int) -> EncodedPictures:
        """Batch `number`, from 0. Raises BadInput when it is empty, or more than 1 % of the pictures are unusable."""
        indices = self._stream.indices(number * self._batch, self._batch)
        found = [pixels for index in indices if (pixels := self._pixels(int(index))) is not None]
        if not found:
            raise BadInput("A whole batch of pictures cannot be used.")
        return encode(self._encoder, np.stack(found))

    def ahead(self, first: int) -> Generator[EncodedPictures, None, None]:
        """The batches from number `first` on, each made while the one before is used."""
        return ahead(self.draw, first)

    def _pixels(self, index: int) -> NDArray[np.uint8] | None:
        try:
            return self._source.picture(index).pixels
        except BadSample as error:
            if index not in self._bad:
                self._progress.warn(f"skipped: {error}.")
            self._bad.add(index)
            check_loss(len(self._bad), len(self._source), f"pictures (the last: {error})")
            return None

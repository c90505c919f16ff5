"""Traceable twin of `lira.decoder.TinyDecoder` for one latent size; same parameter names, so weights load strictly.

What differs from the eager model: a latent at 1/8 is folded by the stem's own stride (PixelUnshuffle has rank 6); all
after the trunk runs in bands of rows with exact overlap, one after the other, so that no tensor of the whole picture
exists but the picture; the offset of mid-grey sits in the last bias.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lira.decoder import FINISH_OVERLAP, MID_GREY, STEM_WIDTH, TRUNK_STEP, TinyDecoder
from lira.latents import LatentKind

LEAST_BAND_ROWS, BAND_CELLS = 16, 2048
"""A band has 16 rows of the trunk (128 px), more where they are short; docs/performance.md has the measurement."""

MOST_JOINED = 4
"""Tensors in one concatenation: XNNPACK takes no more than five. So there are at most the square of it bands."""


@dataclass(frozen=True)
class Band:
    """Rows of the trunk: `top` to `bottom` are drawn, `start` to `stop` are read for it."""

    top: int
    bottom: int
    start: int
    stop: int


def row_bands(rows: int, band_rows: int) -> list[Band]:
    """Bands of `band_rows` rows that cover `rows`, the last one shorter where they do not divide.

    All read the same number of rows: onnxruntime then serves each band from the buffers of the one before it.
    """
    window = band_rows + 2 * FINISH_OVERLAP
    if rows <= window:
        return [Band(0, rows, 0, rows)]
    bands = []
    for top in range(0, rows, band_rows):
        start = min(max(top - FINISH_OVERLAP, 0), rows - window)
        bands.append(Band(top, min(top + band_rows, rows), start, start + window))
    return bands


class BandedDecoder(TinyDecoder):
    """Twin of `TinyDecoder` for latents of `latent_hw` = (h, w), in bands of `band_rows` rows of the trunk."""

    def __init__(self, kind: LatentKind, latent_hw: tuple[int, int], band_rows: int | None = None) -> None:
        super().__init__(kind)
        self.stem = nn.Conv2d(kind.channels, STEM_WIDTH, self.fold, stride=self.fold, groups=self.stem.groups)
        self.fold = 1
        self.register_load_state_dict_pre_hook(_unfold_stem)
        rows, columns = (cells * kind.scale // TRUNK_STEP for cells in latent_hw)
        least = max(LEAST_BAND_ROWS, BAND_CELLS // columns, -(-rows // MOST_JOINED**2))
        self.bands = row_bands(rows, band_rows or least)

    def forward(self, latent: Tensor) -> Tensor:
        """As `TinyDecoder.forward`, for batch 1."""
        features = self.trunk(latent)
        if len(self.bands) == 1:
            return self.to_rgb(self.finish(features))
        groups = [self.bands[i : i + MOST_JOINED] for i in range(0, len(self.bands), MOST_JOINED)]
        return torch.cat([self._draw_together(features, group) for group in groups], dim=2)

    def _draw_together(self, features: Tensor, bands: list[Band]) -> Tensor:
        """Bands below each other; to RGB at once, so that no converter makes one concatenation of all bands."""
        return self.to_rgb(torch.cat([self._finished(features, band) for band in bands], dim=2))

    def _finished(self, features: Tensor, band: Band) -> Tensor:
        finished = self.finish(features[:, :, band.start : band.stop])
        return finished[:, :, 2 * (band.top - band.start) : 2 * (band.bottom - band.start)]


def _unfold_stem(decoder: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """PixelUnshuffle puts the cells of a channel behind each other, as a convolution's weight has them."""
    assert isinstance(decoder, BandedDecoder)
    name = f"{prefix}stem.weight"
    state[name] = state[name].reshape(decoder.stem.weight.shape)


def traceable_decoder(eager: TinyDecoder, latent_hw: tuple[int, int], band_rows: int | None = None) -> BandedDecoder:
    """The twin of `eager` with its weights, in evaluation mode."""
    with torch.device("meta"):
        twin = BandedDecoder(eager.kind, latent_hw, band_rows)
    twin.load_state_dict(eager.state_dict(), strict=True, assign=True)
    twin.head[1].bias = nn.Parameter(eager.get_parameter("head.1.bias") + MID_GREY)
    return twin.eval()

"""TinyDecoder: latent -> picture in 0.24 M parameters.

Letters: b batch, c latent channels, h w latent rows and columns, s image px per latent cell (8 or 32).

Work is done at low resolution: a trunk from 1/32 to 1/8 of the picture, a finish at 1/4, then one PixelShuffle(4) to
RGB. Only local operations (no attention, no normalisation over space), so the finish, where the large tensors are, may
run in row bands that overlap by FINISH_OVERLAP. A latent at 1/8 is folded to 1/32 first, and added once
more at 1/8, where its detail belongs.
"""

import math

import torch
from torch import Tensor, nn

from lira.latents import DECODER_STEP, LatentKind

STEM_WIDTH = 120
WIDTHS = (96, 80, 48)
"""Channels at 1/16, 1/8 and 1/4 of the picture."""
DEPTHS = (2, 2, 2, 2)
"""Residual blocks at 1/32, 1/16, 1/8 and 1/4."""
FINAL_UPSCALE = 4
TRUNK_STEP = 2 * FINAL_UPSCALE
"""Image px per row and column of the trunk's features."""
MID_GREY = 0.5
FINISH_OVERLAP = math.ceil((2 * DEPTHS[-1] + 1) / 2)
"""Trunk rows on either side that a row of the finish depends on: one row at 1/4 for each 3x3 convolution there."""

DECODER_FILE = "decoder.safetensors"


class SeparableBlock(nn.Module):
    """Residual block: two depthwise 3x3 + pointwise pairs with a ReLU between; (b, d, h, w) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise_in = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise_in = nn.Conv2d(width, width, 1)
        self.depthwise_out = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise_out = nn.Conv2d(width, width, 1)
        # Without normalisation a deep stack starts stably only as the identity.
        nn.init.zeros_(self.pointwise_out.weight)
        nn.init.zeros_(torch.as_tensor(self.pointwise_out.bias))

    def forward(self, x: Tensor) -> Tensor:
        """x (b, d, h, w) -> (b, d, h, w)."""
        hidden = torch.relu(self.pointwise_in(self.depthwise_in(x)))
        return x + self.pointwise_out(self.depthwise_out(hidden))


class Upsample(nn.Module):
    """Pointwise convolution, ReLU and PixelShuffle(2); (b, d, h, w) -> (b, e, 2h, 2w)."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width_in, 4 * width_out, 1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        """x (b, d, h, w) -> (b, e, 2h, 2w)."""
        return self.shuffle(torch.relu(self.expand(x)))


class TinyDecoder(nn.Module):
    """The picture of a diffusion latent.

    `scaling` and `shift`, float32 buffers (1, c, 1, 1), undo the latent's normalisation inside the graph.
    For kinds at 1/8, h and w must be multiples of 4.
    """

    scaling: Tensor
    shift: Tensor

    def __init__(self, kind: LatentKind) -> None:
        super().__init__()
        self.kind = kind
        per_channel = (1, kind.channels, 1, 1)
        self.register_buffer("scaling", torch.full(per_channel, kind.scaling))
        self.register_buffer("shift", torch.full(per_channel, kind.shift))
        self.fold = DECODER_STEP // kind.scale
        folded = kind.channels * self.fold**2
        # At most 64 channels a group keeps the stem, and so the whole decoder, of one size for every kind.
        self.stem = nn.Conv2d(folded, STEM_WIDTH, 1, groups=max(1, folded // 64))
        self.detail = nn.Conv2d(kind.channels, WIDTHS[1], 1) if self.fold > 1 else None
        widths = (STEM_WIDTH, *WIDTHS)
        self.stages = nn.ModuleList(
            nn.Sequential(*(SeparableBlock(width) for _ in range(depth)))
            for width, depth in zip(widths, DEPTHS, strict=True)
        )
        self.upsamples = nn.ModuleList(Upsample(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        last = WIDTHS[-1]
        self.head = nn.Sequential(
            nn.Conv2d(last, last, 3, padding=1, groups=last), nn.Conv2d(last, 3 * FINAL_UPSCALE**2, 1)
        )
        self.to_rgb = nn.PixelShuffle(FINAL_UPSCALE)

    def forward(self, latent: Tensor) -> Tensor:
        """latent (b, c, h, w) float -> image (b, 3, s h, s w), sRGB about [0, 1], not clamped."""
        return self.to_rgb(self.finish(self.trunk(latent))) + MID_GREY

    def trunk(self, latent: Tensor) -> Tensor:
        """latent (b, c, h, w) -> features (b, 80, s h / 8, s w / 8)."""
        latent = latent / self.scaling + self.shift
        x = nn.functional.pixel_unshuffle(latent, self.fold) if self.fold > 1 else latent
        x = self.stages[0](torch.relu(self.stem(x)))
        x = self.upsamples[1](self.stages[1](self.upsamples[0](x)))
        if self.detail is not None:
            x = x + self.detail(latent)
        return self.stages[2](x)

    def finish(self, x: Tensor) -> Tensor:
        """features (b, 80, h, w) -> (b, 48, 2h, 2w): 4 x 4 px of each colour, about 0."""
        return self.head(self.stages[3](self.upsamples[2](x)))

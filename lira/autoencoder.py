"""The demo's encoder: a small convolutional network, trained together with TinyDecoder.

Letters: b batch, c latent channels, h w latent rows and columns (H / scale, W / scale).

The last step whitens every channel (batch statistics in training, running ones after), so the latent has unit variance
and no KL term is needed; `calibrate` then removes what the running statistics leave.
"""

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lira.checkpoint import fill_module, load_tensors
from lira.decoder import SeparableBlock, TinyDecoder
from lira.latents import LatentKind, latent_kind

FOLD = 4


class DenseBlock(nn.Module):
    """Residual block of two dense 3x3 convolutions; (b, d, h, w) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (b, d, h, w) -> (b, d, h, w)."""
        return x + self.conv_out(torch.relu(self.conv_in(x)))


def _down(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width_in, width_out, 3, stride=2, padding=1), nn.ReLU())


class DemoEncoder(nn.Module):
    """Picture -> diffusion latent of about unit variance per channel.

    `scaling` and `shift` (1, c, 1, 1) are the same as in the decoder that was trained with it.
    """

    scaling: Tensor
    shift: Tensor

    def __init__(self, kind: LatentKind) -> None:
        super().__init__()
        self.kind = kind
        per_channel = (1, kind.channels, 1, 1)
        self.register_buffer("scaling", torch.ones(per_channel))
        self.register_buffer("shift", torch.zeros(per_channel))
        stem = 3 * FOLD**2
        if kind.scale == 8:
            layers = [_down(stem, 96), DenseBlock(96), SeparableBlock(96), SeparableBlock(96)]
            width = 96
        else:
            layers = [_down(stem, 96), SeparableBlock(96), _down(96, 128), DenseBlock(128)]
            layers += [_down(128, 192), SeparableBlock(192), SeparableBlock(192)]
            width = 192
        self.layers = nn.Sequential(nn.PixelUnshuffle(FOLD), *layers, nn.Conv2d(width, kind.channels, 1))
        self.whiten = nn.BatchNorm2d(kind.channels, affine=False, momentum=0.02)

    def forward(self, image: Tensor) -> Tensor:
        """image (b, 3, H, W), sRGB in [0, 1] -> latent (b, c, H / scale, W / scale) float32."""
        hidden = self.whiten(self.layers(image - 0.5).float())
        return (hidden - self.shift) * self.scaling


@torch.no_grad()
def calibrate(encoder: DemoEncoder, decoder: TinyDecoder, batches: Iterable[Tensor]) -> None:
    """Measure the latent over image `batches` (b, 3, H, W) and store exact per-channel statistics in both networks."""
    encoder.scaling.fill_(1)
    encoder.shift.zero_()
    latents = torch.cat([encoder(batch) for batch in batches]).double()
    std, mean = torch.std_mean(latents, dim=(0, 2, 3), keepdim=True)
    for network in (encoder, decoder):
        network.scaling.copy_(1 / std)
        network.shift.copy_(mean)


def load_encoder(path: str | os.PathLike[str]) -> DemoEncoder:
    """The encoder stored at `path`, in evaluation mode. Raises BadInput when the file is missing or does not fit."""
    tensors, metadata = load_tensors(path)
    encoder = DemoEncoder(latent_kind(metadata.get("kind", "demo")))
    fill_module(encoder, tensors, str(path))
    return encoder.eval()

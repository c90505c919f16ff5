"""How well a decoder gives pictures back: PSNR, MS-SSIM, perceptual distance, sharpness, and examples to look at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lira.decoder import TinyDecoder
from lira.training.grid import save_compared
from lira.training.perceptual import Distance, laplacian_bands, ms_ssim
from lira.training.pictures import EncodedPictures

EXAMPLES = 16


@dataclass(frozen=True)
class Quality:
    """How near decoded 8-bit pictures are to the originals."""

    psnr: float
    """In dB, from the pooled errors."""
    ms_ssim: float
    """Mean over the pictures; 1 is perfect."""
    distance: float
    """Mean perceptual distance; 0 is perfect."""
    distance_name: str
    sharpness: float
    """Energy of the finest band of the Laplacian pyramid, over the originals'; below 1 is softer, above 1 noisier."""

    def figures(self) -> dict[str, float]:
        """The figures by their names."""
        named = {"PSNR in dB": self.psnr, "MS-SSIM": self.ms_ssim, self.distance_name: self.distance}
        return {**named, "sharpness": self.sharpness}

    def __str__(self) -> str:
        near = f"PSNR {self.psnr:.2f} dB, MS-SSIM {self.ms_ssim:.4f}, {self.distance_name} {self.distance:.4f}"
        return f"{near}, sharpness {self.sharpness:.2f}"


@torch.no_grad()
def measure(
    decoder: TinyDecoder, distance: Distance, batches: Sequence[EncodedPictures], noise: float = 0.0
) -> Quality:
    """The quality over `batches`; the latents carry noise of sigma `noise`, the same in every call."""
    generator, figures = torch.Generator().manual_seed(0), []
    for batch in batches:
        eps = torch.randn(batch.latent.shape, generator=generator).to(batch.latent.device)
        made = decoder(batch.latent + noise * eps).clamp(0, 1).mul(255).round() / 255
        error = (made - batch.image).square().mean((1, 2, 3))
        fine, wanted = _fine_energy(made), _fine_energy(batch.image)
        figures.append(torch.stack([error, ms_ssim(made, batch.image), distance(made, batch.image), fine, wanted]))
    error, similarity, far, fine, wanted = torch.cat(figures, 1).double().mean(1).tolist()
    sharpness = fine / max(wanted, 1e-12)
    return Quality(-10 * math.log10(max(error, 1e-12)), similarity, far, distance.name, sharpness)


def _fine_energy(image: Tensor) -> Tensor:
    """Of pictures (b, 3, H, W): the mean square of the Laplacian pyramid's finest band, (b,)."""
    return laplacian_bands(image, 2)[0].square().mean((1, 2, 3))


@torch.no_grad()
def save_examples(decoder: TinyDecoder, batches: Sequence[EncodedPictures], path: Path) -> None:
    """A PNG of the first 16 originals in rows of eight, what is decoded of each below it."""
    image = torch.cat([batch.image for batch in batches])[:EXAMPLES]
    latent = torch.cat([batch.latent for batch in batches])[:EXAMPLES]
    save_compared(image, decoder(latent).clamp(0, 1), path)

"""How well a decoder gives pictures back: PSNR, MS-SSIM and perceptual distance, and examples to look at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lira.decoder import TinyDecoder
from lira.training.grid import save_compared
from lira.training.perceptual import Distance, ms_ssim
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

    def figures(self) -> dict[str, float]:
        """The figures by their names."""
        return {"PSNR in dB": self.psnr, "MS-SSIM": self.ms_ssim, self.distance_name: self.distance}

    def __str__(self) -> str:
        return f"PSNR {self.psnr:.2f} dB, MS-SSIM {self.ms_ssim:.4f}, {self.distance_name} {self.distance:.4f}"


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
        figures.append(torch.stack([error, ms_ssim(made, batch.image), distance(made, batch.image)]))
    error, similarity, far = torch.cat(figures, 1).double().mean(1).tolist()
    return Quality(-10 * math.log10(max(error, 1e-12)), similarity, far, distance.name)


@torch.no_grad()
def save_examples(decoder: TinyDecoder, batches: Sequence[EncodedPictures], path: Path) -> None:
    """A PNG of the first 16 originals in rows of eight, what is decoded of each below it."""
    image = torch.cat([batch.image for batch in batches])[:EXAMPLES]
    latent = torch.cat([batch.latent for batch in batches])[:EXAMPLES]
    save_compared(image, decoder(latent).clamp(0, 1), path)

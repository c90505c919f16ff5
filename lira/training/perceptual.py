"""How different two pictures look: LPIPS where it can be had offline, otherwise a distance that needs no weights.

The stated distance (`StructuralDistance`) is the mean L1 over the bands of a Laplacian pyramid, which keeps edges sharp
at every scale, plus `STRUCTURE_WEIGHT` (1 - MS-SSIM) of the grey pictures, which keeps contrast and texture. It is
deterministic and differentiable, 0 for equal pictures, and small numbers are better; it is not comparable with LPIPS.
"""

import importlib
import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PYRAMID_BANDS = 4
"""Bands of the Laplacian pyramid, the low-pass rest among them."""
STRUCTURE_WEIGHT = 0.1
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM from the finest scale to the coarsest (Wang, Simoncelli and Bovik, 2003, table 1)."""
WINDOW, WINDOW_SIGMA = 11, 1.5
"""Of SSIM's Gaussian window, in px at each scale."""
LUMINANCE_FLOOR, CONTRAST_FLOOR = 0.01**2, 0.03**2
"""SSIM's C1 and C2 for values in [0, 1]."""
SMALLEST_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""Shortest side, in px, that MS-SSIM's window fits on at every scale."""
LUMA = (0.299, 0.587, 0.114)
LPIPS_WEIGHTS = "vgg16-397923af.pth"
"""The backbone that LPIPS reads from torch's hub cache."""


def laplacian_bands(image: Tensor, bands: int) -> list[Tensor]:
    """image (b, c, H, W) -> `bands` tensors from the finest to the low-pass rest, each half the size of the last.

    Upsampling each by 2 (bilinear) and adding it to the one before gives the picture back exactly.
    """
    found = []
    for _ in range(bands - 1):
        low = F.avg_pool2d(image, 2)
        found.append(image - F.interpolate(low, size=image.shape[-2:], mode="bilinear", align_corners=False))
        image = low
    return [*found, image]


def ms_ssim(made: Tensor, image: Tensor) -> Tensor:
    """MS-SSIM (b,) of grey pictures (b, 1, H, W) in [0, 1]; 1 for equal ones. Sides are at least 161 px."""
    if min(image.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {SMALLEST_SIDE} px, not {tuple(image.shape[-2:])}")
    window = _gaussian(made)
    product = torch.ones(len(made), dtype=made.dtype, device=made.device)
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            made, image = F.avg_pool2d(made, 2), F.avg_pool2d(image, 2)
        luminance, contrast = _similarity(made, image, window)
        last = scale == len(SCALE_WEIGHTS) - 1
        similarity = (luminance * contrast if last else contrast).mean((1, 2, 3))
        # Below zero (opposite structure) a fractional power has no value.
        product = product * similarity.clamp(min=1e-6) ** weight
    return product


def _gaussian(like: Tensor) -> Tensor:
    taps = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    window = torch.exp(-taps.square() / (2 * WINDOW_SIGMA**2))
    return window / window.sum()


def _similarity(made: Tensor, image: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM's two factors, luminance and contrast with structure, at every place of the window."""
    maps = torch.cat([made, image, made * made, image * image, made * image], 1)
    shape = (maps.shape[1], 1, 1, 1)
    blurred = F.conv2d(maps, window.view(1, 1, 1, -1).repeat(shape), groups=maps.shape[1])
    blurred = F.conv2d(blurred, window.view(1, 1, -1, 1).repeat(shape), groups=maps.shape[1])
    mean_a, mean_b, square_a, square_b, product = blurred.split(1, 1)
    both = mean_a * mean_b
    luminance = (2 * both + LUMINANCE_FLOOR) / (mean_a.square() + mean_b.square() + LUMINANCE_FLOOR)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    return luminance, (2 * (product - both) + CONTRAST_FLOOR) / (variances + CONTRAST_FLOOR)


class StructuralDistance(nn.Module):
    """The distance in the module's docstring."""

    name = "structural"
    luma: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, made: Tensor, image: Tensor) -> Tensor:
        """made and image (b, 3, H, W) float32, sRGB in [0, 1], sides of at least 161 px -> distance (b,)."""
        bands = laplacian_bands(made - image, PYRAMID_BANDS)
        sharpness = torch.stack([band.abs().mean((1, 2, 3)) for band in bands]).mean(0)
        grey, grey_image = ((picture * self.luma).sum(1, keepdim=True) for picture in (made, image))
        return sharpness + STRUCTURE_WEIGHT * (1 - ms_ssim(grey, grey_image))


class LpipsDistance(nn.Module):
    """LPIPS on VGG-16 (Zhang et al., 2018), from the `lpips` package; frozen."""

    name = "LPIPS"

    def __init__(self) -> None:
        super().__init__()
        self.network = importlib.import_module("lpips").LPIPS(net="vgg", verbose=False).requires_grad_(False).eval()

    def forward(self, made: Tensor, image: Tensor) -> Tensor:
        """made and image (b, 3, H, W) float32, sRGB in [0, 1] -> distance (b,)."""
        return self.network(made, image, normalize=True).flatten()


def perceptual_distance() -> StructuralDistance | LpipsDistance:
    """LPIPS when its package and its backbone's weights are on this machine, else the structural distance."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_WEIGHTS
    installed = all(importlib.util.find_spec(package) is not None for package in ("lpips", "torchvision"))
    return LpipsDistance() if installed and cached.is_file() else StructuralDistance()

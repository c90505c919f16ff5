"""How different two pictures look: LPIPS where it can be had offline, otherwise a distance that needs no weights.

The stated distance (`PyramidDistance`) is the mean L1 over the bands of a Laplacian pyramid of the difference, which
keeps edges sharp at every scale; 0 for equal pictures, not comparable with LPIPS. `ms_ssim` is for measuring alone, so
that what judges a decoder is not what trained it; as a loss it would cost more than TinyDecoder's own step on a CPU
(162 ms against 104 ms for 8 pictures of 256 px on one core; the pyramid 33 ms).
"""

import importlib
import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PYRAMID_BANDS = 4
"""Bands of the Laplacian pyramid, the low-pass rest among them."""
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
    """MS-SSIM (b,) of the grey values of pictures (b, 3, H, W) in [0, 1]; 1 for equal ones.

    Raises ValueError for sides below 161 px, where the coarsest scale is smaller than the window.
    """
    if min(image.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {SMALLEST_SIDE} px, not {tuple(image.shape[-2:])}")
    made, image = _grey(made), _grey(image)
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


def _grey(image: Tensor) -> Tensor:
    red, green, blue = image.split(1, 1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


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


class PyramidDistance(nn.Module):
    """Mean L1 distance over the bands of a Laplacian pyramid."""

    name = "pyramid L1"

    def forward(self, made: Tensor, image: Tensor) -> Tensor:
        """made and image (b, 3, H, W) float32, sRGB in [0, 1], sides multiples of 8 -> distance (b,)."""
        bands = laplacian_bands(made - image, PYRAMID_BANDS)
        return torch.stack([band.abs().mean((1, 2, 3)) for band in bands]).mean(0)


class LpipsDistance(nn.Module):
    """LPIPS on VGG-16 (Zhang et al., 2018), from the `lpips` package; frozen."""

    name = "LPIPS"

    def __init__(self) -> None:
        super().__init__()
        self.network = importlib.import_module("lpips").LPIPS(net="vgg", verbose=False).requires_grad_(False).eval()

    def forward(self, made: Tensor, image: Tensor) -> Tensor:
        """made and image (b, 3, H, W) float32, sRGB in [0, 1] -> distance (b,)."""
        return self.network(made, image, normalize=True).flatten()


Distance = LpipsDistance | PyramidDistance


def perceptual_distance() -> Distance:
    """LPIPS when its package and its backbone's weights are on this machine, else the pyramid distance."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_WEIGHTS
    installed = all(importlib.util.find_spec(package) is not None for package in ("lpips", "torchvision"))
    return LpipsDistance() if installed and cached.is_file() else PyramidDistance()

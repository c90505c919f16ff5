"""Pictures in a grid, as a PNG to look at."""

from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lira_runtime.files import atomic_write

COMPARED_COLUMNS = 8


def save_grid(rows: Iterable[Tensor], path: Path) -> None:
    """Write rows of pictures, (n, 3, H, W) each, sRGB in [0, 1], all of the same n."""
    pixels = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    pixels = pixels.permute(1, 2, 0).mul(255).round().to(torch.uint8)
    with atomic_write(path) as part:
        Image.fromarray(pixels.cpu().numpy()).save(part, format="PNG")


def save_compared(image: Tensor, made: Tensor, path: Path) -> None:
    """Write originals in rows of eight, what was made of each below it; a last row that is not full is left out."""
    count = len(image) // COMPARED_COLUMNS * COMPARED_COLUMNS or len(image)
    pairs = zip(image[:count].split(COMPARED_COLUMNS), made[:count].split(COMPARED_COLUMNS), strict=True)
    save_grid((row for pair in pairs for row in pair), path)

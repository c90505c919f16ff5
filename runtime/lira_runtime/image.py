"""Writes the result as a PNG that says how it was made."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from lira_runtime.files import atomic_write

SOFTWARE = "LiRA"


def write_png(path: Path, pixels: NDArray[np.uint8], texts: dict[str, str]) -> None:
    """Write pixels uint8 (H, W, 3), RGB, atomically, with `texts` as PNG text entries beside Software.

    Entries outside Latin-1 become iTXt (UTF-8). Raises BadInput for an impossible path, OSError as the system does.
    """
    info = PngImagePlugin.PngInfo()
    for key, text in {"Software": SOFTWARE, **texts}.items():
        info.add_text(key, text)
    with atomic_write(path) as part:
        Image.fromarray(pixels).save(part, format="PNG", pnginfo=info)

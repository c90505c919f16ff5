"""Pictures as files, as 8-bit pixels and as the tensors of the graphs."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB."""
SOFTWARE = "LiRA"
PIXEL_ROWS = 32
PAPER = "white"
"""What shows through where a picture is transparent."""


def read_picture(path: Path, side: int) -> Pixels:
    """Read a picture, turn it upright, cut its centre square and resize that; -> uint8 (side, side, 3), RGB.

    Raises BadInput when there is no such file, or it is no picture of 8 bits a channel that Pillow reads.
    """
    if not path.is_file():
        raise BadInput(f"there is no picture at {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image)
                if upright.mode.startswith(("I", "F")):
                    raise BadInput(f"{path} has more than 8 bits a channel; save it with 8.")
                square = _centre_square(upright.convert("RGBA")).resize((side, side), Image.Resampling.LANCZOS)
    except BadInput:
        raise
    except Exception as error:  # a damaged file raises almost anything in Pillow's decoders
        raise BadInput(f"{path} cannot be read as a picture: {str(error) or type(error).__name__}.") from error
    paper = Image.new("RGBA", square.size, PAPER)
    return np.asarray(Image.alpha_composite(paper, square).convert("RGB"))


def _centre_square(image: Image.Image) -> Image.Image:
    """Cut for good before resizing: Pillow's filters read beyond a box that they are only told of."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge))


def from_pixels(pixels: Pixels) -> NDArray[np.float32]:
    """Return (H, W, 3) of 0 to 255 as (1, 3, H, W) float32 in [0, 1]."""
    image = pixels.transpose(2, 0, 1)[None].astype(np.float32, order="C")
    image /= 255
    return image


def to_pixels(image: NDArray[np.float32]) -> Pixels:
    """Return (1, 3, H, W) of about [0, 1] as (H, W, 3) of 0 to 255, a few rows at a time: the copies stay small."""
    _, _, height, width = image.shape
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, PIXEL_ROWS):
        rows = slice(top, top + PIXEL_ROWS)
        levels = np.clip(image[0, :, rows], 0.0, 1.0) * 255.0 + 0.5
        pixels[rows] = levels.transpose(1, 2, 0)
    return pixels


def write_png(path: Path, pixels: Pixels, texts: dict[str, str]) -> None:
    """Write pixels uint8 (H, W, 3), RGB, as a PNG atomically, with `texts` as PNG text entries beside Software.

    Entries outside Latin-1 become iTXt (UTF-8). Raises BadInput for an impossible path, OSError as the system does.
    """
    info = PngImagePlugin.PngInfo()
    for key, text in {"Software": SOFTWARE, **texts}.items():
        info.add_text(key, text)
    with atomic_write(path) as part:
        Image.fromarray(pixels).save(part, format="PNG", pnginfo=info)

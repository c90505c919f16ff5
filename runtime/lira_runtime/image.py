"""Pictures as files, as 8-bit pixels and as the tensors of the graphs."""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB."""
SOFTWARE = "LiRA"
PIXEL_ROWS = 32
LARGEST_AREA = 89_478_485
"""Of a picture to read, px; where Pillow begins to warn."""
PAPER = "white"
"""What shows through where a picture is transparent."""
# Above that a picture is refused here; a filter for a while only would not be safe among threads.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_picture(path: Path, side: int) -> Pixels:
    """Read a picture as `square_picture` does. Raises BadInput when there is no such file, too."""
    if not path.is_file():
        raise BadInput(f"there is no picture at {path}.")
    if side * side > LARGEST_AREA:
        raise BadInput(f"{path} cannot be made a picture of {side} x {side} px: they are too many.")
    return square_picture(path, str(path), side)


def square_picture(file: Path | BinaryIO, name: str, side: int, smallest: int = 1) -> Pixels:
    """Turn a picture upright, cut its centre square and resize that; -> uint8 (side, side, 3), RGB.

    Args:
        file: a path, or a file that is open for reading.
        name: what messages call it.
        smallest: of width and height, px.

    Raises:
        BadInput: it is smaller, or no picture of 8 bits a channel that Pillow reads, or too large for the memory.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            if width * height > LARGEST_AREA:
                raise BadInput(f"{name} cannot be read as a picture: {width} x {height} px are too many.")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                raise BadInput(f"{name} has more than 8 bits a channel; save it with 8.")
            if min(upright.size) < smallest:
                raise BadInput(f"{name} is {upright.width} x {upright.height} px, smaller than {smallest} px.")
            square = _opaque(_centre_square(upright)).resize((side, side), Image.Resampling.LANCZOS)
    except BadInput:
        raise
    except Exception as error:  # a damaged file raises almost anything in Pillow's decoders
        raise BadInput(f"{name} cannot be read as a picture: {str(error) or type(error).__name__}.") from error
    return np.asarray(square)


def _centre_square(image: Image.Image) -> Image.Image:
    """Cut for good before resizing: Pillow's filters read beyond a box that they are only told of."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge))


def _opaque(image: Image.Image) -> Image.Image:
    """RGB; PAPER where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, PAPER), image).convert("RGB")


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

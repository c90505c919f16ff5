"""A contact sheet: pictures in rows, each with its caption below."""

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

LINE_HEIGHT = 14
CHARACTER_WIDTH = 5.0
"""Of the built-in font on average, in px."""
INK = "black"


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    columns: int,
    side: int,
    inks: Sequence[str] | None = None,
) -> Image.Image:
    """Pictures (H, W, 3) at side x side px, row by row; inks: a colour for each caption, black where not given."""
    lines = [wrap(caption, int((side - 4) / CHARACTER_WIDTH)) for caption in captions]
    height = side + LINE_HEIGHT * max(map(len, lines)) + 6
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (pixels, caption) in enumerate(zip(pictures, lines, strict=True)):
        x, y = index % columns * side, index // columns * height
        picture = Image.fromarray(pixels)
        if picture.size != (side, side):
            picture = picture.resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(picture, (x, y))
        ink = INK if inks is None else inks[index]
        pen.multiline_text((x + 4, y + side + 2), "\n".join(caption), ink, spacing=2)
    return sheet

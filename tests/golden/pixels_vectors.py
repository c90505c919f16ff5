"""pixels.json: images as tensors and the pixels they must become, in exact fractions rounded to float32 by a rule here.

A level is floor(clip(x, 0, 1) * 255 + 0.5), where the product and the sum are each rounded to float32 (to the nearest,
of two as near to the even one). In float64 some of these values become another level.
"""

import base64
import math
import struct
from fractions import Fraction
from typing import Any

from noise_vectors import noise
from packing import as_float32, f32

HALF = Fraction(1, 2)
SHAPES = ((1, 3, 35, 24), (1, 3, 7, 5), (1, 3, 1, 2))
"""Higher than wide, of more rows than the runtime converts at a time; both sizes odd; a row."""


def round_float32(value: Fraction) -> Fraction:
    """The float32 nearest to a number of 0 or more; of two as near the even one."""
    if value == 0:
        return value
    exponent = max(math.floor(math.log2(value)), -126)
    exponent += 1 if value >= Fraction(2) ** (exponent + 1) else 0
    exponent -= 1 if value < Fraction(2) ** exponent and exponent > -126 else 0
    step = Fraction(2) ** (exponent - 23)
    return round(value / step) * step  # Fraction's own round goes to the even one


def level(value: float) -> int:
    """0 to 255, of one float32."""
    exact = min(max(Fraction(value), Fraction(0)), Fraction(1))
    return math.floor(round_float32(round_float32(exact * 255) + HALF))


def neighbours(value: float, reach: int) -> list[float]:
    """The float32 numbers around a positive one, up to `reach` steps away."""
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return [struct.unpack("<f", struct.pack("<I", bits + by))[0] for by in range(-reach, reach + 1)]


def edges() -> list[float]:
    """Around every number that lies between two levels, the levels, and beyond both ends."""
    values = [near for k in range(255) for near in neighbours((k + 0.5) / 255, 3)]
    values += [as_float32(k / 255) for k in range(256)]
    values += [*neighbours(1.0, 2), 1e-45, 1.2e-38, 0.0, -0.0, -1e-45, -1e-7, -0.3, -1e30, 1.5, 255.0, 3.4e38]
    return values


def images() -> list[tuple[tuple[int, int, int, int], list[float]]]:
    """Shapes and their numbers in C order: every edge, then noise around grey, which leaves [0, 1] at both ends."""
    edge = edges()
    made = []
    for number, shape in enumerate(SHAPES):
        count = math.prod(shape)
        grey = [as_float32(0.5 + 0.4 * each) for each in noise(number, shape)]
        first = edge[: count if number == 0 else 0]
        made.append((shape, [*first, *grey[len(first) :]]))
    assert math.prod(SHAPES[0]) >= len(edge), "not every edge has found room"
    return made


def pixels(shape: tuple[int, int, int, int], values: list[float]) -> bytes:
    """(1, 3, H, W) -> bytes of (H, W, 3)."""
    _, channels, height, width = shape
    place = [(c * height + row) * width + col for row in range(height) for col in range(width) for c in range(channels)]
    return bytes(level(values[index]) for index in place)


def make() -> dict[str, Any]:
    """The content of pixels.json."""
    return {
        "images": [
            {"shape": list(shape), "image_f32": f32(values), "pixels": base64.b64encode(pixels(shape, values)).decode()}
            for shape, values in images()
        ]
    }

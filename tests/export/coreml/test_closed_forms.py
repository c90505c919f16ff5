"""Ops that PyTorch runs and coremltools cannot evaluate, against closed forms in NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import types
from numpy.typing import NDArray

mb = Builder
Array = NDArray[Any]
Build = Callable[..., Any]
CUBE = (2, 3, 4)
IMAGE = (1, 8, 5, 6)
EPSILON = 2.0**-10
"""Exact in float16, as every number that a case fixes."""


def like(x: Any, values: Any) -> Array:
    """A constant of x's dtype."""
    return np.asarray(values, types.nptype_from_builtin(x.dtype))


def weights(*shape: int) -> Array:
    return np.random.default_rng(7).integers(-8, 8, shape) / 4


def per_channel(values: Array) -> Array:
    return values.reshape(-1, 1, 1)


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def convolved(x: Array, kernel: Array, strides: int, pads: tuple[int, int, int, int], groups: int) -> Array:
    """2-D convolution, term by term."""
    x = np.pad(x, ((0, 0), (0, 0), pads[:2], pads[2:]))
    outputs, inputs, rows, columns = kernel.shape
    height, width = ((size - k) // strides + 1 for size, k in zip(x.shape[2:], (rows, columns), strict=True))
    y = np.zeros((1, outputs, height, width))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for i in range(height):
            for j in range(width):
                patch = x[
                    0, first : first + inputs, i * strides : i * strides + rows, j * strides : j * strides + columns
                ]
                y[0, o, i, j] = (patch * kernel[o]).sum()
    return y


def shuffled(x: Array) -> Array:
    _, channels, height, width = x.shape
    y = x.reshape(channels // 4, 2, 2, height, width).transpose(0, 3, 1, 4, 2)
    return y.reshape(1, channels // 4, 2 * height, 2 * width)


def unshuffled(x: Array) -> Array:
    _, channels, height, width = x.shape
    y = x.reshape(channels, height // 2, 2, width // 2, 2).transpose(0, 2, 4, 1, 3)
    return y.reshape(1, channels * 4, height // 2, width // 2)


def bilinear(x: Array, factor: int, corners: bool) -> Array:
    """By the grid points in Core ML's description of the op."""

    def matrix(size: int) -> Array:
        count = size * factor
        spacing = (size - 1) / (count - 1) if corners else size / count
        points = np.arange(count) * spacing + (0 if corners else 0.5 * spacing - 0.5)
        points = np.clip(points, 0, size - 1)
        return np.maximum(0, 1 - np.abs(points[:, None] - np.arange(size)))

    return matrix(x.shape[2]) @ x @ matrix(x.shape[3]).T


CLOSED_FORMS: list[tuple[str, Build, tuple[int, ...], Callable[[Array], Array]]] = [
    ("silu", lambda x: mb.silu(x=x), CUBE, silu),
    (
        "conv",
        lambda x: mb.conv(
            x=x, weight=like(x, weights(4, 8, 3, 2)), strides=[2, 2], pad_type="custom", pad=[1, 0, 2, 1]
        ),
        IMAGE,
        lambda x: convolved(x, weights(4, 8, 3, 2), 2, (1, 0, 2, 1), 1),
    ),
    (
        "conv",
        lambda x: mb.conv(x=x, weight=like(x, weights(8, 2, 3, 3)), groups=4, pad_type="same"),
        IMAGE,
        lambda x: convolved(x, weights(8, 2, 3, 3), 1, (1, 1, 1, 1), 4),
    ),
    (
        "conv",
        lambda x: mb.conv(x=x, weight=like(x, weights(2, 8, 3, 3)), bias=like(x, [0.5, -2]), pad_type="valid"),
        IMAGE,
        lambda x: convolved(x, weights(2, 8, 3, 3), 1, (0, 0, 0, 0), 1) + np.array([0.5, -2]).reshape(2, 1, 1),
    ),
    (
        "batch_norm",
        lambda x: mb.batch_norm(
            x=x,
            mean=like(x, np.arange(8)),
            variance=like(x, 0.5 + np.arange(8)),
            gamma=like(x, 2 - np.arange(8)),
            beta=like(x, np.arange(8) / 4),
            epsilon=like(x, EPSILON),
        ),
        IMAGE,
        lambda x: (
            (x - per_channel(np.arange(8)))
            / np.sqrt(per_channel(0.5 + np.arange(8)) + EPSILON)
            * per_channel(2 - np.arange(8))
            + per_channel(np.arange(8) / 4)
        ),
    ),
    ("pixel_shuffle", lambda x: mb.pixel_shuffle(x=x, upscale_factor=2), IMAGE, shuffled),
    ("pixel_unshuffle", lambda x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)), (1, 3, 4, 6), unshuffled),
    (
        "upsample_nearest_neighbor",
        lambda x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=3),
        IMAGE,
        lambda x: np.kron(x, np.ones((2, 3))),
    ),
    *(
        (
            "upsample_bilinear",
            lambda x, corners=corners: mb.upsample_bilinear(
                x=x, scale_factor_height=3, scale_factor_width=3, align_corners=corners
            ),
            IMAGE,
            lambda x, corners=corners: bilinear(x, 3, corners),
        )
        for corners in (True, False)
    ),
    (
        "dequantize",
        lambda x: mb.dequantize(
            input=mb.quantize(input=x, scale=like(x, 0.25), output_dtype="int8"),
            scale=like(x, [0.5, 2, 8]),
            zero_point=np.array([1, -2, 100], np.int8),
            axis=1,
        ),
        CUBE,
        lambda x: (np.round(x * 4) - np.array([1, -2, 100])[:, None]) * np.array([0.5, 2, 8])[:, None],
    ),
    (
        "dequantize",
        lambda x: mb.dequantize(
            input=mb.quantize(input=x, scale=like(x, 0.25), output_dtype="int8"), scale=like(x, 0.5)
        ),
        CUBE,
        lambda x: np.round(x * 4) * 0.5,
    ),
]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("case", CLOSED_FORMS, ids=lambda case: case[0])
def test_op_is_its_closed_form(
    case: tuple[str, Build, tuple[int, ...], Any], dtype: str, interpreted: Any, operands: Any, assert_rounded: Any
) -> None:
    _, build, shape, formula = case
    (array,) = operands((shape,), dtype)
    assert_rounded(interpreted(build, [array]), formula(array.astype(np.float64)))

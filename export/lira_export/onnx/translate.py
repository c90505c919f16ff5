"""PyTorch operators that we translate to ONNX ourselves, where the exporter's own translation leaves waste.

softplus: the exporter guards it as Where(x > 20, x, Softplus(x)), though a runtime's Softplus is exact there already.
clamp: the exporter casts the bound at run time to the type that it already has.
pixel_unshuffle: the exporter writes tensors of rank 6, which not every runtime takes.
"""

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import FLOAT
from onnxscript import opset20 as op


def softplus(x: FLOAT, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(x)); beta 1 is all that LiRA uses."""
    if beta != 1.0:
        raise NotImplementedError(f"softplus with beta {beta}")
    return op.Softplus(x)


def clamp(x: FLOAT, min: float | None = None, max: float | None = None) -> Any:  # noqa: A002
    """min(x, max); an upper bound alone is all that LiRA uses."""
    if min is not None or max is None:
        raise NotImplementedError(f"clamp from {min} to {max}")
    return op.Min(x, op.Constant(value_float=max))  # type: ignore[type-var]


def pixel_unshuffle(x: FLOAT, downscale_factor: int) -> Any:
    """(1, c, h r, w r) -> (1, c r r, h, w) in rank 4; SpaceToDepth orders channels (r, r, c), PyTorch (c, r, r)."""
    split: Any = op.Constant(value_ints=[downscale_factor**2, -1, 0, 0])
    joined: Any = op.Constant(value_ints=[1, -1, 0, 0])
    depth = op.Reshape(op.SpaceToDepth(x, blocksize=downscale_factor), split)
    return op.Reshape(op.Transpose(depth, perm=[1, 0, 2, 3]), joined)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.softplus.default: softplus,
    torch.ops.aten.clamp.default: clamp,
    torch.ops.aten.pixel_unshuffle.default: pixel_unshuffle,
}

"""PyTorch operators that we translate to ONNX ourselves, where the exporter's own translation leaves waste.

softplus: the exporter guards it as Where(x > 20, x, Softplus(x)), though a runtime's Softplus is exact there already.
clamp: the exporter casts the bound at run time to the type that it already has.
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


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.softplus.default: softplus,
    torch.ops.aten.clamp.default: clamp,
}

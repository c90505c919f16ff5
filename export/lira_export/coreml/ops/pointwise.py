"""Ops that work number by number."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Operation
from torch import Tensor

from lira_export.coreml.ops.rule import Kernel, Rule, fixed


def _always(kernel: Kernel) -> Callable[[Operation], Kernel]:
    return lambda op: kernel


def _log(op: Operation) -> Kernel:
    epsilon = float(fixed(op, "epsilon"))
    return lambda x: torch.log(x + epsilon)


def _rsqrt(op: Operation) -> Kernel:
    epsilon = float(fixed(op, "epsilon"))
    return lambda x: 1 / torch.sqrt(x + epsilon)


def _inverse(op: Operation) -> Kernel:
    epsilon = float(fixed(op, "epsilon"))
    return lambda x: 1 / (x + epsilon)


def _clip(op: Operation) -> Kernel:
    low, high = float(fixed(op, "alpha")), float(fixed(op, "beta"))
    return lambda x: x.clamp(low, high)


def _gelu(op: Operation) -> Kernel:
    modes: dict[str, Kernel] = {
        "EXACT": F.gelu,
        "TANH_APPROXIMATION": lambda x: F.gelu(x, approximate="tanh"),
        "SIGMOID_APPROXIMATION": lambda x: x * torch.sigmoid(1.702 * x),
    }
    return modes[fixed(op, "mode")]


def _cast(op: Operation) -> Kernel:
    names = {"fp16": "float16", "fp32": "float32"}
    wanted = fixed(op, "dtype")
    dtype = getattr(torch, names.get(wanted, wanted))
    return lambda x: x.to(dtype)


def _along(op: Operation) -> tuple[int, ...]:
    """The shape that spreads scales over their axis, or over everything where there is one scale."""
    axis = fixed(op, "axis")
    shape = [1] * op.inputs["input"].rank
    if axis is not None:
        shape[int(axis)] = -1
    return tuple(shape)


def _quantize(op: Operation) -> Kernel:
    shape = _along(op)
    dtype = {"int8": torch.int8, "uint8": torch.uint8}[fixed(op, "output_dtype")]
    limits = torch.iinfo(dtype)

    def quantize(x: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
        steps = torch.round(x / scale.reshape(shape))
        if zero_point is not None:
            steps = steps + zero_point.reshape(shape)
        return steps.clamp(limits.min, limits.max).to(dtype)

    return quantize


def _dequantize(op: Operation) -> Kernel:
    shape = _along(op)

    def dequantize(x: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
        steps = x.float() if zero_point is None else x.float() - zero_point.float().reshape(shape)
        return steps * scale.reshape(shape)

    return dequantize


_OF_TWO: Mapping[str, Kernel] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "real_div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
}
_OF_ONE: Mapping[str, Kernel] = {
    "abs": torch.abs,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "sin": torch.sin,
    "softplus": F.softplus,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tanh": torch.tanh,
}
# PyTorch's half precision computes each number in float32 and rounds once: nothing to widen.
POINTWISE: Mapping[str, Rule] = {
    **{name: Rule(("x", "y"), _always(kernel), wide=False) for name, kernel in _OF_TWO.items()},
    **{name: Rule(("x",), _always(kernel), wide=False) for name, kernel in _OF_ONE.items()},
    "select": Rule(("cond", "a", "b"), lambda op: torch.where, wide=False),
    "cast": Rule(("x",), _cast, wide=False),
    "clip": Rule(("x",), _clip, wide=False),
    "gelu": Rule(("x",), _gelu),
    "inverse": Rule(("x",), _inverse),
    "log": Rule(("x",), _log),
    "rsqrt": Rule(("x",), _rsqrt),
    "quantize": Rule(("input", "scale", "zero_point"), _quantize),
    "dequantize": Rule(("input", "scale", "zero_point"), _dequantize),
}

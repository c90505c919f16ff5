"""Ops that sum: products, convolutions, norms, reductions, interpolation. Their sums are float32."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Operation
from torch import Tensor

from lira_export.coreml.ops.rule import Kernel, OpFailed, Rule, fixed, fixed_integers

_CONVOLUTIONS: Mapping[int, Kernel] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}


def _matmul(op: Operation) -> Kernel:
    flip_x, flip_y = bool(fixed(op, "transpose_x")), bool(fixed(op, "transpose_y"))
    return lambda x, y: torch.matmul(x.mT if flip_x else x, y.mT if flip_y else y)


def _conv(op: Operation) -> Kernel:
    convolution = _CONVOLUTIONS[op.inputs["x"].rank]
    strides, dilations = fixed_integers(op, "strides"), fixed_integers(op, "dilations")
    groups, pads = int(fixed(op, "groups")), _conv_pads(op)
    before, after = pads[::2], pads[1::2]
    if before == after:
        return lambda x, weight, bias: convolution(x, weight, bias, strides, before, dilations, groups)
    uneven = [amount for pair in reversed(list(zip(before, after, strict=True))) for amount in pair]
    return lambda x, weight, bias: convolution(F.pad(x, uneven), weight, bias, strides, 0, dilations, groups)


def _conv_pads(op: Operation) -> list[int]:
    """Zeros before and after each spatial axis, in turn."""
    kind = fixed(op, "pad_type")
    kernel = [int(size) for size in op.inputs["weight"].shape[2:]]
    if kind == "valid":
        return [0] * 2 * len(kernel)
    if kind == "custom":
        return fixed_integers(op, "pad")
    strides, dilations = fixed_integers(op, "strides"), fixed_integers(op, "dilations")
    pads = []
    for axis, size in enumerate(int(size) for size in op.inputs["x"].shape[2:]):
        reach = (-(-size // strides[axis]) - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        total = max(reach - size, 0)
        if total % 2:
            raise OpFailed(op, f"pads unevenly by '{kind}', which is not implemented")
        pads += [total // 2] * 2
    return pads


def _layer_norm(op: Operation) -> Kernel:
    rank, epsilon = op.inputs["x"].rank, float(fixed(op, "epsilon"))
    axes = sorted(axis % rank for axis in fixed_integers(op, "axes"))
    if axes == list(range(rank - len(axes), rank)):
        shape = [int(op.inputs["x"].shape[axis]) for axis in axes]
        return lambda x, gamma, beta: F.layer_norm(x, shape, gamma, beta, epsilon)
    spread = [int(size) if axis in axes else 1 for axis, size in enumerate(op.inputs["x"].shape)]

    def layer_norm(x: Tensor, gamma: Tensor | None, beta: Tensor | None) -> Tensor:
        centred = x - x.mean(axes, keepdim=True)
        y = centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + epsilon)
        y = y if gamma is None else y * gamma.reshape(spread)
        return y if beta is None else y + beta.reshape(spread)

    return layer_norm


def _batch_norm(op: Operation) -> Kernel:
    epsilon = float(fixed(op, "epsilon"))
    return lambda x, mean, variance, gamma, beta: F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


def _softmax(op: Operation) -> Kernel:
    axis = int(fixed(op, "axis"))
    return lambda x: torch.softmax(x, axis)


def _attention(op: Operation) -> Kernel:
    return lambda query, key, value, mask: F.scaled_dot_product_attention(query, key, value, mask)


def _reduce(reduction: Callable[..., Tensor]) -> Callable[[Operation], Kernel]:
    def build(op: Operation) -> Kernel:
        axes = fixed_integers(op, "axes") or list(range(op.inputs["x"].rank))
        keep = bool(fixed(op, "keep_dims"))
        return lambda x: reduction(x, axes, keepdim=keep)

    return build


def _upsample_bilinear(op: Operation) -> Kernel:
    corners, half_pixels = bool(fixed(op, "align_corners")), fixed(op, "half_pixel_centers")
    if half_pixels is not None and bool(half_pixels) is corners:
        raise OpFailed(op, "has its corners and its pixels' centres at odds, which is not implemented")
    shape = [int(size) for size in op.outputs[0].shape]

    def upsample(x: Tensor) -> Tensor:
        planes = x.reshape(1, -1, *x.shape[-2:])
        return F.interpolate(planes, size=shape[-2:], mode="bilinear", align_corners=corners).reshape(shape)

    return upsample


PRODUCTS: Mapping[str, Rule] = {
    "linear": Rule(("x", "weight", "bias"), lambda op: F.linear),
    "matmul": Rule(("x", "y"), _matmul),
    "conv": Rule(("x", "weight", "bias"), _conv),
    "layer_norm": Rule(("x", "gamma", "beta"), _layer_norm),
    "batch_norm": Rule(("x", "mean", "variance", "gamma", "beta"), _batch_norm),
    "softmax": Rule(("x",), _softmax),
    "scaled_dot_product_attention": Rule(("query", "key", "value", "attn_mask"), _attention),
    "reduce_mean": Rule(("x",), _reduce(torch.mean)),
    "reduce_sum": Rule(("x",), _reduce(torch.sum)),
    "reduce_max": Rule(("x",), _reduce(torch.amax)),
    "reduce_min": Rule(("x",), _reduce(torch.amin)),
    "upsample_bilinear": Rule(("x",), _upsample_bilinear),
}

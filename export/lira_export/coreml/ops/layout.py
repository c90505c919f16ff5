"""Ops that move numbers and change none."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from coremltools.converters.mil.mil import Operation
from torch import Tensor

from lira_export.coreml.ops.rule import Kernel, OpFailed, Rule, fixed, fixed_integers


def _to_declared_shape(op: Operation) -> Kernel:
    """For ops whose meaning is the shape that they give, which coremltools infers from their inputs."""
    shape = tuple(int(size) for size in op.outputs[0].shape)
    return lambda x: x.reshape(shape)


def _transpose(op: Operation) -> Kernel:
    order = fixed_integers(op, "perm")
    return lambda x: x.permute(order)


def _concat(op: Operation) -> Kernel:
    if fixed(op, "interleave"):
        raise OpFailed(op, "interleaves, which is not implemented")
    axis = int(fixed(op, "axis"))
    return lambda *values: torch.cat(values, axis)


def _stack(op: Operation) -> Kernel:
    axis = int(fixed(op, "axis"))
    return lambda *values: torch.stack(values, axis)


def _split(op: Operation) -> Kernel:
    axis = int(fixed(op, "axis"))
    sizes = fixed_integers(op, "split_sizes")
    if not sizes:
        parts = int(fixed(op, "num_splits"))
        sizes = [int(op.inputs["x"].shape[axis]) // parts] * parts
    return lambda x: x.split(sizes, axis)


def _tile(op: Operation) -> Kernel:
    repeats = fixed_integers(op, "reps")
    return lambda x: x.repeat(repeats)


def _slice_by_index(op: Operation) -> Kernel:
    rank = op.inputs["x"].rank
    begin, end = fixed_integers(op, "begin"), fixed_integers(op, "end")
    stride = fixed_integers(op, "stride") or [1] * rank
    from_start, to_end, single = (
        fixed_integers(op, f"{name}_mask") or [0] * rank for name in ("begin", "end", "squeeze")
    )
    if min(stride) < 1:
        raise OpFailed(op, "has a stride below 1, which is not implemented")
    index = tuple(
        begin[k] if single[k] else slice(None if from_start[k] else begin[k], None if to_end[k] else end[k], stride[k])
        for k in range(rank)
    )
    return lambda x: x[index]


def _gather(op: Operation) -> Kernel:
    if fixed(op, "batch_dims"):
        raise OpFailed(op, "gathers by batch, which is not implemented")
    axis = int(fixed(op, "axis")) % op.inputs["x"].rank

    def gather(x: Tensor, indices: Tensor) -> Tensor:
        places = indices.to(torch.int64).flatten()
        places = torch.where(places < 0, places + x.shape[axis], places)
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        return x.index_select(axis, places).reshape(shape)

    return gather


def _pad(op: Operation) -> Kernel:
    amounts = fixed_integers(op, "pad")
    pairs = [amount for before in range(len(amounts) - 2, -1, -2) for amount in amounts[before : before + 2]]
    mode = fixed(op, "mode")
    if mode == "constant":
        value = float(fixed(op, "constant_val"))
        return lambda x: F.pad(x, pairs, value=value)
    return lambda x: F.pad(x, pairs, mode=mode)


def _pixel_shuffle(op: Operation) -> Kernel:
    factor = int(fixed(op, "upscale_factor"))
    return lambda x: F.pixel_shuffle(x, factor)


def _pixel_unshuffle(op: Operation) -> Kernel:
    factor = int(fixed(op, "downscale_factor"))
    return lambda x: F.pixel_unshuffle(x, factor)


def _upsample_nearest(op: Operation) -> Kernel:
    factors = [float(fixed(op, f"scale_factor_{side}")) for side in ("height", "width")]
    if any(factor != int(factor) for factor in factors):
        raise OpFailed(op, "has a fractional scale, which is not implemented")
    rows, columns = (int(factor) for factor in factors)
    return lambda x: x.repeat_interleave(rows, -2).repeat_interleave(columns, -1)


LAYOUT: Mapping[str, Rule] = {
    name: Rule(operands, build, wide=False)
    for name, operands, build in (
        ("reshape", ("x",), _to_declared_shape),
        ("expand_dims", ("x",), _to_declared_shape),
        ("squeeze", ("x",), _to_declared_shape),
        ("transpose", ("x",), _transpose),
        ("concat", ("values",), _concat),
        ("stack", ("values",), _stack),
        ("split", ("x",), _split),
        ("tile", ("x",), _tile),
        ("slice_by_index", ("x",), _slice_by_index),
        ("gather", ("x", "indices"), _gather),
        ("pad", ("x",), _pad),
        ("pixel_shuffle", ("x",), _pixel_shuffle),
        ("pixel_unshuffle", ("x",), _pixel_unshuffle),
        ("upsample_nearest_neighbor", ("x",), _upsample_nearest),
    )
}

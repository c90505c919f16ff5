"""What a format does to a tensor, in float32 arithmetic: each function returns the values that the format can hold."""

import torch
from torch import Tensor

from lira_export.coreml.palette import palette

BLOCK = 32
"""Inputs that share a scale of int4."""
PALETTE_BITS = 6


def per_channel(weight: Tensor, largest: int) -> Tensor:
    """Integers from -largest to largest at one scale for each output channel, the first dimension."""
    return _symmetric(weight.flatten(1), largest).reshape(weight.shape)


def per_block(weight: Tensor, largest: int) -> Tensor:
    """Integers at one scale for each block of 32 inputs of an output channel; the last block may be shorter."""
    return torch.cat([_symmetric(block, largest) for block in weight.flatten(1).split(BLOCK, 1)], 1).reshape_as(weight)


def palettized(weight: Tensor, channels: int | None = None) -> Tensor:
    """The nearest of 64 values, which k-means finds for `channels` output channels at a time, by default for all."""
    return torch.cat([_nearest(part) for part in weight.split(channels or len(weight))])


def own_range(tensor: Tensor) -> Tensor:
    """8 bits with a zero point over the tensor's own range, zero included, as ONNX's DynamicQuantizeLinear."""
    return _affine(tensor.reshape(1, -1)).reshape(tensor.shape)


def token_range(tensor: Tensor) -> Tensor:
    """8 bits as `own_range`, each token (..., channels) over its own range, as XNNPACK."""
    return _affine(tensor)


def float16(tensor: Tensor) -> Tensor:
    """The nearest float16; infinite beyond its range."""
    return tensor.half().to(tensor.dtype)


def _nearest(weight: Tensor) -> Tensor:
    table, indices = palette(weight.numpy(), PALETTE_BITS)
    return torch.from_numpy(table[indices].reshape(weight.shape))


def _affine(rows: Tensor) -> Tensor:
    """Integers from 0 to 255 at a scale and zero point for each row."""
    low, high = rows.amin(-1, keepdim=True).clamp(max=0), rows.amax(-1, keepdim=True).clamp(min=0)
    scale = (high - low).clamp(min=torch.finfo(rows.dtype).tiny) / 255
    zero = (-low / scale).round()
    return ((rows / scale).round() + zero).clamp(0, 255).sub(zero) * scale


def _symmetric(rows: Tensor, largest: int) -> Tensor:
    """Integers from -largest to largest at one scale a row."""
    scale = rows.abs().amax(1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny) / largest
    return (rows / scale).round() * scale

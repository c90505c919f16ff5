"""Names of layers in a TFLite model.

The converter names tensors after the code that made them, but merges what it finds equal, so that a layer may carry the
name of another. Its weights cannot be mistaken: a product is known by the module whose weight it holds, byte for byte
or but for the factors of the normalization before it, which the converter moves into the weight.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_quantizer.qtyping import ModelT, SubGraphT
from ai_edge_quantizer.utils.tfl_flatbuffer_utils import get_tensor_data, get_tensor_name
from numpy.typing import NDArray
from torch import nn

from lira_export.tflite.model import op_kind

Floats = NDArray[np.float32]
WEIGHT_INPUT: Mapping[str, int] = {
    "FULLY_CONNECTED": 1,
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "TRANSPOSE_CONV": 1,
    "BATCH_MATMUL": 1,
    "EMBEDDING_LOOKUP": 1,
}
"""Ops that multiply by, or look up in, a weight; and which input that is."""
SEPARATOR = "@"
"""Between the path of a module and what makes a tensor's name unique."""


ROWS_COMPARED = 8


@dataclass(frozen=True)
class Layer:
    """One product of a subgraph with a weight of the module at `path`."""

    path: str
    kind: str
    buffer: int


def name_layers(model: ModelT, module: nn.Module) -> None:
    """Name the output of every layer "path of its module@subgraph.op".

    All tensors' names become unique in the model, which the quantizer asks for.
    """
    owners = _Owners(module)
    for number, subgraph in enumerate(model.subgraphs):
        for index, tensor in enumerate(subgraph.tensors):
            tensor.name = f"{get_tensor_name(tensor)};{number}.{index}".encode()
        for index, op in enumerate(subgraph.operators):
            kind = op_kind(model, op)
            if kind in WEIGHT_INPUT:
                weight = get_tensor_data(subgraph.tensors[op.inputs[WEIGHT_INPUT[kind]]], model.buffers)
                path = None if weight is None else owners.path_of(weight)
                if path is not None:
                    subgraph.tensors[op.outputs[0]].name = f"{path}{SEPARATOR}{number}.{index}".encode()


def layers(model: ModelT, subgraph: SubGraphT) -> Iterator[Layer]:
    """The layers that `name_layers` has found in a subgraph."""
    for op in subgraph.operators:
        kind = op_kind(model, op)
        path, separator, _ = get_tensor_name(subgraph.tensors[op.outputs[0]]).partition(SEPARATOR)
        if kind in WEIGHT_INPUT and separator:
            yield Layer(path, kind, subgraph.tensors[op.inputs[WEIGHT_INPUT[kind]]].buffer)


class _Owners:
    """Whose weight an array is."""

    def __init__(self, module: nn.Module) -> None:
        self._weights = {
            path: _as_stored(child)
            for path, child in module.named_modules()
            if isinstance(child, nn.Linear | nn.Conv2d | nn.Embedding)
        }
        self._exact: dict[str, str] = {}
        for path, weight in self._weights.items():
            self._exact.setdefault(_digest(weight), path)

    def path_of(self, weight: Floats) -> str | None:
        exact = self._exact.get(_digest(weight))
        return exact or next((path for path, base in self._weights.items() if _is_scaled(weight, base)), None)


def _as_stored(layer: nn.Module) -> Floats:
    """The weight in TFLite's layout: outputs first, channels last, depthwise (1, h, w, channels)."""
    weight: Floats = layer.weight.detach().numpy()  # type: ignore[operator]
    if isinstance(layer, nn.Conv2d):
        depthwise = layer.groups > 1 and weight.shape[1] == 1
        weight = weight.transpose((1, 2, 3, 0) if depthwise else (0, 2, 3, 1))
    return weight


def _is_scaled(weight: Floats, base: Floats) -> bool:
    """Whether two matrices (outputs, inputs) are equal but for one factor an input."""
    if weight.shape != base.shape or weight.ndim != 2 or len(base) < 2:
        return False
    a, b = weight[:ROWS_COMPARED], base[:ROWS_COMPARED]
    products, swapped = a[1:] * b[:-1], a[:-1] * b[1:]
    return bool(np.allclose(products, swapped, rtol=1e-4, atol=1e-6 * float(np.abs(products).max())))


def _digest(values: Floats) -> str:
    return f"{values.shape} {hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()}"

"""Dynamic int8 products: int8 weights per output channel, activations quantized as they come.

    x_q, s_x, z_x = DynamicQuantizeLinear(x)                      uint8, one scale for the tensor
    y = Cast(MatMulInteger(x_q, W_q, z_x)) * (s_x * s_W) + b      s_W one scale for each output channel

onnxruntime fuses these nodes into one kernel. By token, every row of x has its own s_x and z_x, a column each;
MatMulInteger knows but one zero point, so that of the rows is taken off after it:

    y = (Cast(MatMulInteger(x_q, W_q, 0)) - z_x sum(W_q)) * (s_x * s_W) + b      sum over a column of W_q

Token tables are stored as int8 rows with one scale each, convolution
weights as int8 that the runtime unpacks at load, which is right for the decoder's few hundred kilobytes only.
"""

from dataclasses import dataclass
from itertools import count

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lira_export.onnx.edit import Attributes, GraphEditor, constant_array, name_of

LEAST_ELEMENTS = 1024
"""Smaller weights are not worth their scales."""
FLOAT: Attributes = {"to": int(ir.DataType.FLOAT)}
UINT8: Attributes = {"to": int(ir.DataType.UINT8)}


@dataclass(frozen=True)
class Int8Weight:
    """w is about q * scale; q int8 in [-127, 127], scale float32 along one axis."""

    q: NDArray[np.int8]
    scale: NDArray[np.float32]


def quantize_weight(
    weight: NDArray[np.float32], axis: int, least_scale: NDArray[np.float32] | float = 1e-14
) -> Int8Weight:
    """Symmetric int8 with one scale for each index of `axis`, not below `least_scale` (one, or one for each index)."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.maximum(np.abs(weight).max(axis=others) / 127.0, least_scale).astype(np.float32)
    q = np.clip(np.round(weight / np.expand_dims(scale, others)), -127, 127).astype(np.int8)
    return Int8Weight(q, scale)


@dataclass(frozen=True)
class Activation:
    """A quantized tensor and its scale and zero point; offsets: zero points of its rows (..., M, 1), as float32."""

    q: ir.Value
    scale: ir.Value
    zero: ir.Value
    offsets: ir.Value | None = None


class Products:
    """Rewrites products of one graph; an activation that several of them read is quantized once.

    by_token: each row of an activation by its own range, which takes several passes over it instead of one.
    """

    def __init__(self, editor: GraphEditor, by_token: bool = False) -> None:
        self.editor, self.by_token = editor, by_token
        self._activations: dict[str, Activation] = {}

    def matmul(self, node: ir.Node) -> bool:
        """x @ W with constant W (in, out)."""
        weight = _large(node.inputs[1], rank=2)
        if weight is None:
            return False
        self.integer_product(node, self.activation(node), weight, name_of(node.inputs[1]), bias=None)
        return True

    def gemm(self, node: ir.Node) -> bool:
        """x @ W + b, W possibly stored (out, in)."""
        weight = _large(node.inputs[1], rank=2)
        alpha, beta, trans_a = (node.attributes.get(n) for n in ("alpha", "beta", "transA"))
        plain = all(a is None or a.as_float() == 1.0 for a in (alpha, beta)) and not (trans_a and trans_a.as_int())
        if weight is None or not plain:
            return False
        trans_b = node.attributes.get("transB")
        if trans_b is not None and trans_b.as_int():
            weight = np.ascontiguousarray(weight.T)
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        self.integer_product(node, self.activation(node), weight, name_of(node.inputs[1]), bias)
        return True

    def gather(self, node: ir.Node) -> bool:
        """Rows of a token table: int8 rows times their scales."""
        table = _large(node.inputs[0], rank=2)
        axis = node.attributes.get("axis")
        if table is None or (axis is not None and axis.as_int() != 0):
            return False
        packed, name, editor = quantize_weight(table, axis=0), name_of(node.inputs[0]), self.editor
        rows = editor.add(node, "Gather", [editor.constant(f"{name}.int8", packed.q), node.inputs[1]], "rows")
        scale = editor.constant(f"{name}.scale", packed.scale[:, None])
        scales = editor.add(node, "Gather", [scale, node.inputs[1]], "scales")
        values = editor.add(node, "Cast", [rows], "float", FLOAT)
        editor.replace(node, editor.add(node, "Mul", [values, scales], "table"))
        return True

    def conv(self, node: ir.Node) -> bool:
        """Convolution weights as int8 with one scale for each output channel, unpacked by the runtime."""
        weight = _large(node.inputs[1], rank=4)
        if weight is None or weight.shape[1] == 1:
            return False
        packed, name = quantize_weight(weight, axis=0), name_of(node.inputs[1])
        q, scale = self.editor.constant(f"{name}.int8", packed.q), self.editor.constant(f"{name}.scale", packed.scale)
        node.replace_input_with(1, self.editor.add(node, "DequantizeLinear", [q, scale], "weight", {"axis": 0}))
        return True

    def activation(self, node: ir.Node) -> Activation:
        """The node's first input, quantized by its own range, or by that of each row."""
        x = node.inputs[0]
        if x is None or x.name is None:
            raise RuntimeError(f"{node.name} has no input to quantize")
        if x.name not in self._activations and self.by_token:
            self._activations[x.name] = self._quantized_rows(node, x)
        if x.name not in self._activations:
            made = ir.Node("", "DynamicQuantizeLinear", [x], num_outputs=3, name=f"{x.name}/quantize")
            for value, suffix in zip(made.outputs, ("quantized", "quantized_scale", "quantized_zero"), strict=True):
                value.name = f"{x.name}/{suffix}"
            self.editor.graph.insert_before(node, made)
            self._activations[x.name] = Activation(*made.outputs)
        return self._activations[x.name]

    def _quantized_rows(self, node: ir.Node, x: ir.Value) -> Activation:
        def add(op: str, *inputs: ir.Value, attributes: Attributes | None = None) -> ir.Value:
            return self.editor.add(node, op, list(inputs), f"rows_{op}_{next(numbers)}", attributes)

        def number(value: float) -> ir.Value:
            return self.editor.constant(f"row_{value:g}", np.array(value, np.float32))

        numbers, axis = count(), self.editor.constant("row_axis", np.array([-1]))
        low, high = add("Min", add("ReduceMin", x, axis), number(0)), add("Max", add("ReduceMax", x, axis), number(0))
        scale = add("Max", add("Mul", add("Sub", high, low), number(1 / 255)), number(1e-12))
        offset = add("Round", add("Neg", add("Div", low, scale)))
        shifted = add("Add", add("Round", add("Div", x, scale)), offset)
        q = add("Cast", add("Clip", shifted, number(0), number(255)), attributes=UINT8)
        return Activation(q, scale, self.editor.constant("row_zero", np.array(0, np.uint8)), offset)

    def integer_product(
        self, node: ir.Node, x: Activation, weight: NDArray[np.float32], name: str, bias: ir.Value | None
    ) -> None:
        """Put x @ weight + bias in the node's place."""
        packed, editor = quantize_weight(weight, axis=1), self.editor
        weights, scale = editor.constant(f"{name}.int8", packed.q), editor.constant(f"{name}.scale", packed.scale)
        product = editor.add(node, "MatMulInteger", [x.q, weights, x.zero], "product")
        product = editor.add(node, "Cast", [product], "cast", FLOAT)
        if x.offsets is not None:
            sums = editor.constant(f"{name}.sums", packed.q.sum(axis=0, dtype=np.int32).astype(np.float32))
            offset = editor.add(node, "Mul", [x.offsets, sums], "offset")
            product = editor.add(node, "Sub", [product, offset], "centred")
        scales = editor.add(node, "Mul", [x.scale, scale], "scale")
        result = editor.add(node, "Mul", [product, scales], "scaled")
        if bias is not None:
            result = editor.add(node, "Add", [result, bias], "biased")
        editor.replace(node, result)


def _large(value: ir.Value | None, rank: int) -> NDArray[np.float32] | None:
    """The array of a float weight worth quantizing, or None."""
    array = constant_array(value)
    return array if array is not None and array.ndim == rank and array.size >= LEAST_ELEMENTS else None

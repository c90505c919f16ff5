"""Dynamic int8 for ONNX as a graph pass: int8 weights per output channel, activations quantized as they come.

    x_q, s_x, z_x = DynamicQuantizeLinear(x)                      uint8, one scale for the tensor
    y = Cast(MatMulInteger(x_q, W_q, z_x)) * (s_x * s_W) + b      s_W one scale for each output channel

onnxruntime fuses these nodes into one kernel. Its own `quantize_dynamic` writes the same graph but takes time
superlinear in the nodes. Token tables are stored as int8 rows with one scale each, convolution weights as int8 that the
runtime unpacks at load, which is right for the decoder's few hundred kilobytes only.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lira_export.passes.naming import module_path
from lira_export.recipes import Recipe

LEAST_ELEMENTS = 1024
"""Smaller weights are not worth their scales."""


@dataclass(frozen=True)
class Int8Weight:
    """w is about q * scale; q int8 in [-127, 127], scale float32 along `axis`."""

    q: NDArray[np.int8]
    scale: NDArray[np.float32]


def quantize_weight(weight: NDArray[np.float32], axis: int) -> Int8Weight:
    """Symmetric int8 with one scale for each index of `axis`."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.maximum(np.abs(weight).max(axis=others, keepdims=True), 1e-12) / 127.0
    q = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
    return Int8Weight(q, scale.reshape(-1).astype(np.float32))


def quantize(model: ir.Model, component: str, recipe: Recipe) -> ir.Model:
    """Quantize in place every weight that the recipe does not keep in float.

    Raises:
        RuntimeError: the recipe asks for int8 and nothing was found to quantize.
    """
    if not recipe.quantizes:
        return model
    quantizer = _Quantizer(model.graph)
    handlers = {"MatMul": quantizer.matmul, "Gemm": quantizer.gemm, "Gather": quantizer.gather, "Conv": quantizer.conv}
    done = 0
    for node in list(model.graph):
        if node.op_type in handlers and not recipe.keeps_float(component, module_path(node)):
            done += handlers[node.op_type](node)
    if not done:
        raise RuntimeError(f"recipe {recipe.name} quantized nothing in {component}")
    quantizer.drop_unused()
    return model


class _Quantizer:
    """Rewrites nodes of one graph; activations that several products read are quantized once."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.activations: dict[str, tuple[ir.Value, ir.Value, ir.Value]] = {}

    def matmul(self, node: ir.Node) -> bool:
        """x @ W with constant W (in, out)."""
        weight = _constant(node.inputs[1], rank=2)
        if weight is None:
            return False
        self._integer_product(node, weight, bias=None)
        return True

    def gemm(self, node: ir.Node) -> bool:
        """x @ W + b, W possibly stored (out, in)."""
        weight = _constant(node.inputs[1], rank=2)
        alpha, beta, trans_a = (node.attributes.get(n) for n in ("alpha", "beta", "transA"))
        plain = all(a is None or a.as_float() == 1.0 for a in (alpha, beta)) and not (trans_a and trans_a.as_int())
        if weight is None or not plain:
            return False
        trans_b = node.attributes.get("transB")
        if trans_b is not None and trans_b.as_int():
            weight = np.ascontiguousarray(weight.T)
        self._integer_product(node, weight, bias=node.inputs[2] if len(node.inputs) > 2 else None)
        return True

    def gather(self, node: ir.Node) -> bool:
        """Rows of a token table: int8 rows times their scales."""
        table = _constant(node.inputs[0], rank=2)
        axis = node.attributes.get("axis")
        if table is None or (axis is not None and axis.as_int() != 0):
            return False
        packed, name = quantize_weight(table, axis=0), _name(node.inputs[0])
        rows = self._add(node, "Gather", [self._initializer(f"{name}.int8", packed.q), node.inputs[1]], "rows")
        scale = self._initializer(f"{name}.scale", packed.scale[:, None])
        scales = self._add(node, "Gather", [scale, node.inputs[1]], "scales")
        values = self._add(node, "Cast", [rows], "float", {"to": ir.DataType.FLOAT})
        self._replace(node, self._add(node, "Mul", [values, scales], "table"))
        return True

    def conv(self, node: ir.Node) -> bool:
        """Convolution weights as int8 with one scale for each output channel, unpacked by the runtime."""
        weight = _constant(node.inputs[1], rank=4)
        if weight is None or weight.shape[1] == 1:
            return False
        packed, name = quantize_weight(weight, axis=0), _name(node.inputs[1])
        q, scale = self._initializer(f"{name}.int8", packed.q), self._initializer(f"{name}.scale", packed.scale)
        node.replace_input_with(1, self._add(node, "DequantizeLinear", [q, scale], "weight", {"axis": 0}))
        return True

    def drop_unused(self) -> None:
        """Forget the float weights that nothing reads any more."""
        outputs = set(self.graph.outputs)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and value not in outputs:
                del self.graph.initializers[name]

    def _integer_product(self, node: ir.Node, weight: NDArray[np.float32], bias: ir.Value | None) -> None:
        packed, name = quantize_weight(weight, axis=1), _name(node.inputs[1])
        x, x_scale, x_zero = self._quantized_activation(node)
        q = self._initializer(f"{name}.int8", packed.q)
        product = self._add(node, "MatMulInteger", [x, q, x_zero], "product")
        product = self._add(node, "Cast", [product], "cast", {"to": ir.DataType.FLOAT})
        scale = self._add(node, "Mul", [x_scale, self._initializer(f"{name}.scale", packed.scale)], "scale")
        result = self._add(node, "Mul", [product, scale], "scaled")
        if bias is not None:
            result = self._add(node, "Add", [result, bias], "biased")
        self._replace(node, result)

    def _quantized_activation(self, node: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value]:
        x = node.inputs[0]
        assert x is not None and x.name is not None
        if x.name not in self.activations:
            made = ir.Node("", "DynamicQuantizeLinear", [x], num_outputs=3, name=f"{x.name}/quantize")
            for value, suffix in zip(made.outputs, ("int8", "scale", "zero"), strict=True):
                value.name = f"{x.name}/{suffix}"
            self.graph.insert_before(node, made)
            self.activations[x.name] = (made.outputs[0], made.outputs[1], made.outputs[2])
        return self.activations[x.name]

    def _initializer(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        if name in self.graph.initializers:
            return self.graph.initializers[name]
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        self.graph.register_initializer(value)
        return value

    def _add(
        self,
        before: ir.Node,
        op: str,
        inputs: list[ir.Value | None],
        suffix: str,
        attributes: dict[str, int] | None = None,
    ) -> ir.Value:
        made = ir.node(op, inputs, attributes or {}, name=f"{before.name}/{suffix}")
        made.outputs[0].name = f"{before.outputs[0].name}/{suffix}"
        self.graph.insert_before(before, made)
        return made.outputs[0]

    def _replace(self, node: ir.Node, result: ir.Value) -> None:
        old = node.outputs[0]
        result.shape, result.type = old.shape, old.type
        old.replace_all_uses_with(result, replace_graph_outputs=True)
        name = old.name
        self.graph.remove(node, safe=True)
        result.name = name


def _name(value: ir.Value | None) -> str:
    assert value is not None and value.name is not None
    return value.name


def _constant(value: ir.Value | None, rank: int) -> NDArray[np.float32] | None:
    """The array of a float weight worth quantizing, or None."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    array = value.const_value.numpy()
    if array.ndim != rank or array.dtype != np.float32 or array.size < LEAST_ELEMENTS:
        return None
    return array

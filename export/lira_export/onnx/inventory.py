"""What an ONNX file holds, read with onnx itself."""

from collections import Counter
from math import prod
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from lira_export.target import Inventory

WEIGHT_INPUTS = {"MatMul": 1, "Gemm": 1, "Conv": 1, "MatMulInteger": 1, "QLinearMatMul": 3, "QLinearConv": 3}
"""Products, and which of their inputs is the weight."""
UNPACKING = ("Cast", "DequantizeLinear", "Transpose", "Reshape")
"""What may stand between a stored weight and its product."""


def read_inventory(path: Path) -> Inventory:
    """Counts of the graph at `path`; weights are described in it, not read."""
    model = onnx.load(path, load_external_data=False)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    sizes, elements, products = Counter[str](), Counter[str](), Counter[str]()
    for tensor in stored.values():
        sizes[_dtype(tensor)] += prod(tensor.dims) * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        elements[_dtype(tensor)] += prod(tensor.dims)
    for node in model.graph.node:
        if node.op_type in WEIGHT_INPUTS:
            weight = _stored_weight(node.input[WEIGHT_INPUTS[node.op_type]], makers, stored)
            if weight is not None:
                products[_dtype(weight)] += 1
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    ranks = [len(value.type.tensor_type.shape.dim) for value in values] + [len(t.dims) for t in stored.values()]
    return Inventory(Counter(node.op_type for node in model.graph.node), products, sizes, elements, max(ranks))


def _stored_weight(name: str, makers: dict[str, onnx.NodeProto], stored: dict[str, TensorProto]) -> TensorProto | None:
    """The initializer that a product's input comes from, or None where it is computed."""
    while name not in stored:
        node = makers.get(name)
        if node is None or node.op_type not in UNPACKING:
            return None
        name = node.input[0]
    return stored[name]


def _dtype(tensor: TensorProto) -> str:
    return helper.tensor_dtype_to_np_dtype(tensor.data_type).name

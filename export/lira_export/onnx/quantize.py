"""Int8 for ONNX as a graph pass.

onnxruntime's own `quantize_dynamic` writes the same products but takes time superlinear in the nodes. The order
matters: the hidden layers that stay in 8 bits first (`onnx.hidden`), then every product that is left (`onnx.products`).
"""

import onnx_ir as ir

from lira_export.calibration import HiddenRanges
from lira_export.onnx.edit import GraphEditor
from lira_export.onnx.hidden import quantize_hidden_layers
from lira_export.onnx.products import Products
from lira_export.passes.naming import owner_of
from lira_export.recipes import Recipe

BY_TOKEN = ("text_encoder",)
"""Components whose activations are quantized row by row: 77 rows, once a prompt, cost nothing there."""


def quantize(model: ir.Model, component: str, recipe: Recipe, ranges: HiddenRanges | None = None) -> ir.Model:
    """Quantize in place every weight that the recipe does not keep in float.

    ranges: of the hidden layers that a calibrated recipe keeps in 8 bits; see `lira_export.calibration`.

    Raises:
        RuntimeError: the recipe asks for int8 and nothing was found to quantize.
    """
    if not recipe.quantizes:
        return model
    editor = GraphEditor(model.graph)
    products = Products(editor, by_token=component in BY_TOKEN)
    done = 0
    if ranges:
        done += quantize_hidden_layers(products, _wanted(ranges, component, recipe))
    handlers = {"MatMul": products.matmul, "Gemm": products.gemm, "Gather": products.gather, "Conv": products.conv}
    for node in list(model.graph):
        if node.op_type in handlers:
            owner = owner_of(node.inputs[0 if node.op_type == "Gather" else 1])
            if owner is not None and not recipe.keeps_float(component, owner):
                done += handlers[node.op_type](node)
    if not done:
        raise RuntimeError(f"recipe {recipe.name} quantized nothing in {component}")
    editor.drop_unused()
    return model


def _wanted(ranges: HiddenRanges, component: str, recipe: Recipe) -> HiddenRanges:
    """The hidden layers of which the recipe keeps no part in float."""
    parts = ("fc1", "conv", "fc2")
    return {
        owner: found
        for owner, found in ranges.items()
        if not any(recipe.keeps_float(component, f"{owner}.{part}") for part in parts)
    }

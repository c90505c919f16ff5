"""Name nodes and weights after the PyTorch module they came from, and drop everything else the exporter noted."""

import ast

import onnx_ir as ir

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"
WEIGHT_OPS = ("MatMul", "Gemm", "Gather", "Conv")
LAYERS = ("aten.linear", "aten.conv2d", "aten.embedding")
"""PyTorch's operators that read a weight; a product with any other constant is arithmetic."""
SUFFIX = ".weight"


def owner_of(weight: ir.Value | None) -> str | None:
    """Dotted path of the module whose weight a value is, or None for any other value; valid after `name_by_module`."""
    if weight is None or weight.name is None or not weight.is_initializer() or not weight.name.endswith(SUFFIX):
        return None
    return weight.name.removesuffix(SUFFIX)


def name_by_module(model: ir.Model) -> ir.Model:
    """Node names become `module.path/Op_number`; stack traces of the exporting machine leave the file."""
    for number, node in enumerate(model.graph):
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES, "['']"))
        path = scopes[-2] if len(scopes) > 1 else ""
        classes = ast.literal_eval(node.metadata_props.get(CLASSES, "['']"))
        node.name = f"{path}/{node.op_type}_{number}"
        node.metadata_props.clear()
        if classes[-1].startswith(LAYERS):
            _name_weights(node, path)
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for node in model.graph:
        for value in node.outputs:
            value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    return model


def _name_weights(node: ir.Node, path: str) -> None:
    """A weight that the exporter transposed has lost its name; give it the module's."""
    if node.op_type not in WEIGHT_OPS or not path:
        return
    for value in node.inputs:
        if value is not None and value.is_initializer() and value.shape is not None and len(value.shape) >= 2:
            wanted = path + SUFFIX
            if value.name != wanted and value.graph is not None and wanted not in value.graph.initializers:
                value.name = wanted

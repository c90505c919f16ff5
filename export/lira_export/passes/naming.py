"""Name nodes and weights after the PyTorch module they came from, and drop everything else the exporter noted."""

import ast

import onnx_ir as ir

SCOPES = "pkg.torch.onnx.name_scopes"
WEIGHT_OPS = ("MatMul", "Gemm", "Gather", "Conv")


def module_path(node: ir.Node) -> str:
    """Dotted path of the module that a node came from, '' for the root; valid before and after `name_by_module`."""
    return node.name.rpartition("/")[0] if node.name else ""


def name_by_module(model: ir.Model) -> ir.Model:
    """Node names become `module.path/Op_number`; stack traces of the exporting machine leave the file."""
    for number, node in enumerate(model.graph):
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES, "['']"))
        path = scopes[-2] if len(scopes) > 1 else ""
        node.name = f"{path}/{node.op_type}_{number}"
        node.metadata_props.clear()
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
            wanted = f"{path}.weight"
            if value.name != wanted and value.graph is not None and wanted not in value.graph.initializers:
                value.name = wanted

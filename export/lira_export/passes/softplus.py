"""PyTorch exports softplus as Where(x > 20, x, Softplus(x)); a runtime's Softplus is exact there already."""

import onnx_ir as ir


def plain_softplus(model: ir.Model) -> ir.Model:
    """Drop the guard around every Softplus: two nodes and two passes over memory less for each."""
    for node in list(model.graph):
        if node.op_type != "Where":
            continue
        condition, kept, other = node.inputs
        softplus, greater = (v.producer() if v is not None else None for v in (other, condition))
        if softplus is None or greater is None or kept is None:
            continue
        if softplus.op_type == "Softplus" and greater.op_type == "Greater" and softplus.inputs[0] is kept:
            ir.convenience.replace_nodes_and_values(model.graph, node, [node], [], node.outputs, softplus.outputs)
            if not greater.outputs[0].uses():
                model.graph.remove(greater, safe=True)
    return model

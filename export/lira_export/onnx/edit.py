"""Small edits of an ONNX graph that every rewriting pass needs."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Attributes = dict[str, int | list[int]]


class GraphEditor:
    """Adds constants and nodes to one graph, and puts values in the place of others."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph

    def constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        """The initializer called `name`, made of `array` where there is none; RuntimeError where it holds another."""
        if name in self.graph.initializers:
            found = self.graph.initializers[name]
            if found.const_value is None or not np.array_equal(found.const_value.numpy(), array):
                raise RuntimeError(f"two different constants want the name {name}")
            return found
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        self.graph.register_initializer(value)
        return value

    def add(
        self,
        before: ir.Node,
        op: str,
        inputs: list[ir.Value | None],
        suffix: str,
        attributes: Attributes | None = None,
    ) -> ir.Value:
        """Output of a new node, put before `before` and named after it."""
        made = ir.node(op, inputs, attributes or {}, name=f"{before.name}/{suffix}")
        made.outputs[0].name = f"{before.outputs[0].name}/{suffix}"
        self.graph.insert_before(before, made)
        return made.outputs[0]

    def replace(self, node: ir.Node, result: ir.Value) -> None:
        """Let `result` take the place and the name of the node's output; the node goes."""
        old = node.outputs[0]
        result.shape, result.type = old.shape, old.type
        old.replace_all_uses_with(result, replace_graph_outputs=True)
        name = old.name
        self.graph.remove(node, safe=True)
        result.name = name

    def drop_unused(self) -> None:
        """Forget the constants that nothing reads any more."""
        outputs = set(self.graph.outputs)
        for name, value in list(self.graph.initializers.items()):
            if not value.uses() and value not in outputs:
                del self.graph.initializers[name]


def name_of(value: ir.Value | None) -> str:
    """The name of a value that is there."""
    assert value is not None and value.name is not None
    return value.name


def constant_array(value: ir.Value | None) -> NDArray[np.float32] | None:
    """The array of a float32 initializer, or None."""
    if value is None or not value.is_initializer() or value.const_value is None:
        return None
    array = value.const_value.numpy()
    return array if array.dtype == np.float32 else None


def only_user(value: ir.Value) -> ir.Node | None:
    """The one node that reads a value, or None where there are more or it is an output of the graph."""
    users = {use.node for use in value.uses()}
    return users.pop() if len(users) == 1 and not value.is_graph_output() else None

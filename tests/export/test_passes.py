"""Each graph pass on a graph small enough to read."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from lira_export.passes.naming import SCOPES, module_path, name_by_module
from lira_export.passes.simplify import LARGE_WEIGHT_BYTES, simplify


def model(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], width: int) -> ir.Model:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, width])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def run(made: ir.Model, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(ir.to_proto(made).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]

    nodes = [
        helper.make_node("Softplus", ["x"], ["s"]),
        helper.make_node("Greater", ["x", "limit"], ["big"]),
        helper.make_node("Where", ["big", "x", "s"], ["y"]),
    ]
    return model(nodes, {"limit": np.float32(20.0)}, 6)

    x = np.array([[-100, -1, 0, 1, 19.9, 20.1], [1e4, 88, 90, 25, 30, -20]], np.float32)
    assert [node.op_type for node in made.graph] == ["Softplus"]
    assert np.allclose(run(made, x), np.logaddexp(0, x.astype(np.float64)), rtol=1e-6)

    nodes = [
        helper.make_node("Softplus", ["x"], ["s"]),
        helper.make_node("Greater", ["x", "limit"], ["big"]),
        helper.make_node("Where", ["big", "s", "x"], ["y"]),
    ]
    assert [node.op_type for node in made.graph] == ["Softplus", "Greater", "Where"]


def test_nodes_and_transposed_weights_take_their_modules_name_and_traces_go() -> None:
    node = helper.make_node("MatMul", ["x", "val_7"], ["y"], name="node_linear_3")
    made = model([node], {"val_7": np.ones((3, 4), np.float32)}, 3)
    traced = next(iter(made.graph))
    traced.metadata_props[SCOPES] = "['', 'blocks.2', 'blocks.2.ffn.fc1', 'linear_3']"
    traced.metadata_props["pkg.torch.onnx.stack_trace"] = 'File "/home/somebody/model.py"'
    name_by_module(made)
    assert module_path(traced) == "blocks.2.ffn.fc1"
    assert list(made.graph.initializers) == ["blocks.2.ffn.fc1.weight"]
    assert b"somebody" not in ir.to_proto(made).SerializeToString()


def test_simplify_folds_constants_and_gives_large_weights_back_untouched() -> None:
    side = int((LARGE_WEIGHT_BYTES / 4) ** 0.5) + 1
    weight = np.random.default_rng(0).normal(size=(side, side)).astype(np.float32)
    nodes = [
        helper.make_node("Add", ["one", "two"], ["three"]),
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Mul", ["m", "three"], ["y"]),
    ]
    before = model(nodes, {"one": np.float32(1), "two": np.float32(2), "w": weight}, side)
    x = np.random.default_rng(1).normal(size=(2, side)).astype(np.float32)
    wanted = run(before, x)
    after = simplify(before)
    assert [node.op_type for node in after.graph] == ["MatMul", "Mul"]
    assert [value.name for value in after.graph.inputs] == ["x"]
    assert np.array_equal(after.graph.initializers["w"].const_value.numpy(), weight)
    assert np.array_equal(run(after, x), wanted)

"""Each graph pass on a graph small enough to read."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from lira_export.passes.fold import fold_constants
from lira_export.passes.naming import CLASSES, SCOPES, name_by_module, owner_of
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


def test_folding_transposes_weights_and_computes_what_is_written_twice_once() -> None:
    weight = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Relu", ["x"], ["b"]),
        helper.make_node("MatMul", ["a", "t"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
    ]
    made = model(nodes, {"w": weight}, 3)
    x = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    wanted = run(made, x)
    folded = fold_constants(made)
    assert [node.op_type for node in folded.graph] == ["Relu", "MatMul", "Add"]
    product = next(node for node in folded.graph if node.op_type == "MatMul")
    assert product.inputs[1].is_initializer()
    assert np.array_equal(product.inputs[1].const_value.numpy(), weight.T)
    assert np.array_equal(run(folded, x), wanted)


def test_nodes_and_transposed_weights_take_their_modules_name_and_traces_go() -> None:
    node = helper.make_node("MatMul", ["x", "val_7"], ["y"], name="node_linear_3")
    made = model([node], {"val_7": np.ones((3, 4), np.float32)}, 3)
    traced = next(iter(made.graph))
    traced.metadata_props[SCOPES] = "['', 'blocks.2', 'blocks.2.ffn.fc1', 'linear_3']"
    traced.metadata_props[CLASSES] = "['Model', 'Block', 'torch.nn.modules.linear.Linear', 'aten.linear.default']"
    traced.metadata_props["pkg.torch.onnx.stack_trace"] = 'File "/home/somebody/model.py"'
    name_by_module(made)
    assert traced.name == "blocks.2.ffn.fc1/MatMul_0"
    assert owner_of(traced.inputs[1]) == "blocks.2.ffn.fc1" and owner_of(traced.inputs[0]) is None
    assert list(made.graph.initializers) == ["blocks.2.ffn.fc1.weight"]
    assert b"somebody" not in ir.to_proto(made).SerializeToString()


def test_a_product_with_a_constant_that_is_no_layers_weight_gets_no_owner() -> None:
    made = model([helper.make_node("MatMul", ["x", "triangle"], ["y"])], {"triangle": np.ones((3, 3), np.float32)}, 3)
    traced = next(iter(made.graph))
    traced.metadata_props[SCOPES] = "['', 'blocks.2', 'blocks.2.scan', 'matmul']"
    traced.metadata_props[CLASSES] = "['Model', 'Block', 'Scan', 'aten.matmul.default']"
    name_by_module(made)
    assert owner_of(traced.inputs[1]) is None and list(made.graph.initializers) == ["triangle"]


def test_folding_keeps_one_of_several_equal_weights() -> None:
    weights = {name: np.eye(3, dtype=np.float32) for name in ("a", "b")}
    nodes = [helper.make_node("MatMul", ["x", "a"], ["m"]), helper.make_node("MatMul", ["m", "b"], ["y"])]
    folded = fold_constants(model(nodes, weights, 3))
    assert len(folded.graph.initializers) == 1


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

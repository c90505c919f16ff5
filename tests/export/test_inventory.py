"""What an ONNX file holds, against counts made by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lira.sources import Models
from lira_export.onnx.inventory import read_inventory
from lira_export.target import Inventory
from lira_runtime import manifest

Nodes = list[onnx.NodeProto]


def inventory_of(nodes: Nodes, weights: dict[str, np.ndarray], output: list[int], folder: Path) -> Inventory:
    graph = helper.make_graph(
        nodes,
        "handmade",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, folder / "graph.onnx", save_as_external_data=True, location="data", size_threshold=256)
    return read_inventory(folder / "graph.onnx")


def test_ops_products_and_weights_of_a_graph_counted_by_hand(tmp_path: Path) -> None:
    weights = {
        "w": np.ones((8, 16), np.float32),
        "b": np.ones(16, np.float32),
        "w8": np.ones((16, 4), np.int8),
        "half": np.ones((4, 4), np.float16),
        "shape": np.array([1, 1, 2, 2], np.int64),
        "kernel": np.ones((3, 1, 1, 1), np.int8),
        "kernel_scale": np.ones(3, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("DynamicQuantizeLinear", ["c"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w8", "zero"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["half"], ["unpacked"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "unpacked"], ["g"]),
        helper.make_node("Reshape", ["g", "shape"], ["picture"]),
        helper.make_node("DequantizeLinear", ["kernel", "kernel_scale"], ["unpacked_kernel"], axis=0),
        helper.make_node("Conv", ["picture", "unpacked_kernel"], ["features"]),
        helper.make_node("MatMul", ["features", "features"], ["y"]),  # of two activations: no product by a weight
    ]
    found = inventory_of(nodes, weights, [1, 3, 2, 2], tmp_path)
    assert found.ops == {
        "MatMul": 3,
        "Add": 1,
        "DynamicQuantizeLinear": 1,
        "MatMulInteger": 1,
        "Cast": 2,
        "Reshape": 1,
        "DequantizeLinear": 1,
        "Conv": 1,
    }
    assert found.products == {"float32": 1, "int8": 2, "float16": 1}
    assert found.weight_elements == {"float32": 128 + 16 + 3, "int8": 64 + 3, "float16": 16, "int64": 4}
    assert found.weight_bytes == {"float32": 4 * 147, "int8": 67, "float16": 32, "int64": 32}
    assert found.highest_rank == 4 and not found.undelegated


@pytest.mark.parametrize("shape", [[2, 4], [1, 2, 2, 2, 1, 1]])
def test_the_rank_of_a_tensor_between_ops_is_seen(shape: list[int], tmp_path: Path) -> None:
    weights = {"up": np.array(shape, np.int64), "down": np.array([8], np.int64)}
    nodes = [helper.make_node("Reshape", ["x", "up"], ["a"]), helper.make_node("Reshape", ["a", "down"], ["y"])]
    assert inventory_of(nodes, weights, [8], tmp_path).highest_rank == len(shape)


def test_a_bundles_contents_are_what_onnx_and_the_models_say(bundle_folder: Path, small_models: Models) -> None:
    for component in manifest.load(bundle_folder).components:
        loaded = onnx.load(bundle_folder / f"{component.name}.onnx").graph
        arrays = [numpy_helper.to_array(tensor) for tensor in loaded.initializer]
        assert sum(component.contents.weight_bytes.values()) == sum(array.nbytes for array in arrays)
        assert sum(component.contents.ops.values()) == len(loaded.node)
        assert component.contents.loaded_bytes is not None and component.contents.loaded_bytes > 0
        assert component.contents.weight_bytes["int8"] > component.contents.weight_bytes["float32"]
    (denoiser,) = (each for each in manifest.load(bundle_folder).components if each.name == "denoiser")
    # value, gate, maps, rates, out_proj, fc1, the depthwise convolution, fc2 and modulation: nine in every block.
    assert denoiser.contents.products["int8"] >= 9 * small_models.denoiser.preset.blocks

"""Weights that several ONNX graphs share: one copy, where another library expects it."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from lira_export.onnx.store import WeightStore

RNG = np.random.default_rng(0)


def product(rows: int, weights: dict[str, np.ndarray]) -> ir.Model:
    """y = x (rows, 32) @ the first of the weights @ the second, and so on."""
    names = ["x", *(f"y{i}" for i in range(len(weights) - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [names[i], weight], [names[i + 1]], name=weight) for i, weight in enumerate(weights)
    ]
    columns = list(weights.values())[-1].shape[1]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, columns])],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def holding(tensors: dict[str, np.ndarray]) -> ir.Model:
    """A graph that hands its tensors out."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in tensors]
    outputs = [
        helper.make_tensor_value_info(f"{n}_out", helper.np_dtype_to_tensor_dtype(t.dtype), t.shape)
        for n, t in tensors.items()
    ]
    stored = [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()]
    graph = helper.make_graph(nodes, "holding", [], outputs, stored)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def places(graph: Path) -> dict[str, tuple[int, int]]:
    """Offset and length of every tensor that the graph keeps outside, as onnx reads them."""
    stored = onnx.load(graph, load_external_data=False).graph.initializer
    fields = {t.name: {e.key: e.value for e in t.external_data} for t in stored if t.external_data}
    return {name: (int(entry["offset"]), int(entry["length"])) for name, entry in fields.items()}


def values(graph: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(graph).graph.initializer}


def test_two_graphs_that_share_a_matrix_keep_one_copy_and_both_run(tmp_path: Path) -> None:
    shared, own = (RNG.normal(size=(32, 32)).astype(np.float32) for _ in range(2))
    store = WeightStore(tmp_path / "weights.data")
    store.save(product(2, {"shared": shared}), tmp_path / "one.onnx")
    store.save(product(3, {"own": own, "again": shared.copy()}), tmp_path / "two.onnx")
    assert store.files() == (tmp_path / "weights.data",)
    assert places(tmp_path / "one.onnx")["shared"] == places(tmp_path / "two.onnx")["again"]
    assert store.path.stat().st_size == shared.nbytes + own.nbytes
    for name, rows, wanted in (("one", 2, shared), ("two", 3, own @ shared)):
        x = RNG.normal(size=(rows, 32)).astype(np.float32)
        session = ort.InferenceSession(str(tmp_path / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ wanted, atol=1e-3)


def test_equal_bytes_of_another_dtype_or_shape_stay_apart_and_read_back(tmp_path: Path) -> None:
    signed = RNG.integers(-128, 128, (64, 32)).astype(np.int8)
    tensors = {"signed": signed, "unsigned": signed.view(np.uint8), "flat": signed.reshape(-1), "same": signed.copy()}
    store = WeightStore(tmp_path / "weights.data")
    store.save(holding(tensors), tmp_path / "graph.onnx")
    found = places(tmp_path / "graph.onnx")
    assert found["same"] == found["signed"] and len(set(found.values())) == 3
    for name, tensor in values(tmp_path / "graph.onnx").items():
        assert tensor.dtype == tensors[name].dtype
        np.testing.assert_array_equal(tensor, tensors[name])


def test_tensors_are_aligned_and_large_ones_start_on_a_page(tmp_path: Path) -> None:
    sizes = {"odd": 1025, "next": 1500, "large": (1 << 20) + 1, "after": 1024, "small": 1023}
    tensors = {name: RNG.integers(0, 256, size).astype(np.uint8) for name, size in sizes.items()}
    WeightStore(tmp_path / "weights.data").save(holding(tensors), tmp_path / "graph.onnx")
    found = places(tmp_path / "graph.onnx")
    assert {name: length for name, (_, length) in found.items()} == {n: s for n, s in sizes.items() if n != "small"}
    assert all(offset % 64 == 0 for offset, _ in found.values()) and found["large"][0] % 4096 == 0
    ends = sorted((offset, offset + length) for offset, length in found.values())
    assert all(end <= start for (_, end), (start, _) in zip(ends, ends[1:], strict=False))
    for name, tensor in values(tmp_path / "graph.onnx").items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_a_graph_without_large_tensors_needs_no_file(tmp_path: Path) -> None:
    store = WeightStore(tmp_path / "weights.data")
    store.save(holding({"small": np.arange(9, dtype=np.float32)}), tmp_path / "graph.onnx")
    assert store.files() == () and [path.name for path in tmp_path.iterdir()] == ["graph.onnx"]


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.int32, np.bool_])
def test_every_dtype_reads_back(tmp_path: Path, dtype: type) -> None:
    tensor = RNG.integers(0, 2, (40, 50)).astype(dtype)
    WeightStore(tmp_path / "weights.data").save(holding({"t": tensor}), tmp_path / "graph.onnx")
    (found,) = values(tmp_path / "graph.onnx").values()
    assert found.dtype == tensor.dtype and np.array_equal(found, tensor)

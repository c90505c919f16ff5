"""The int8 pass: its arithmetic, what it leaves alone, and that the file really is quantized."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lira_export.onnx.half import store_half
from lira_export.onnx.products import quantize_weight
from lira_export.onnx.quantize import quantize
from lira_export.recipes import Recipe, get_recipe

INT8 = Recipe("test", "int8", {}, 0)


def model_of(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], columns: int) -> ir.Model:
    """Nodes from x (5, in), `in` being the rows of the first weight, to y (5, columns)."""
    depth = next(iter(weights.values())).shape[0]
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [5, depth])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [5, columns])],
        [onnx.numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10))


def linear_model(weight: np.ndarray, name: str = "layer.weight") -> ir.Model:
    """y = x @ W."""
    return model_of([onnx.helper.make_node("MatMul", ["x", name], ["y"])], {name: weight}, weight.shape[1])


def run(model: ir.Model, **inputs: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float32, (6, 9), elements=st.floats(-100, 100, width=32)))
def test_a_weight_comes_back_within_half_a_step_of_its_channel(weight: np.ndarray) -> None:
    packed = quantize_weight(weight, axis=1)
    error = np.abs(packed.q * packed.scale - weight)
    assert (error <= packed.scale / 2 * 1.001 + 1e-12).all()
    assert packed.q.min() >= -127


def test_the_quantized_product_equals_its_integer_arithmetic() -> None:
    rng = np.random.default_rng(0)
    weight, x = rng.normal(size=(64, 32)).astype(np.float32), rng.normal(size=(5, 64)).astype(np.float32)
    found = run(quantize(linear_model(weight), "denoiser", INT8), x=x)
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    step = (high - low) / 255
    zero = np.round(-low / step)
    x_q = np.clip(np.round(x / step) + zero, 0, 255)
    w_step = np.abs(weight).max(0) / 127
    wanted = ((x_q - zero) @ np.round(weight / w_step)) * step * w_step
    assert np.abs(found - wanted).max() <= 1e-3
    error = found - x @ weight
    assert 0 < np.sqrt(np.mean(error**2)) < 0.02 * np.sqrt(np.mean((x @ weight) ** 2))


def test_a_text_encoders_product_quantizes_every_row_by_its_own_range() -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 32)).astype(np.float32)
    x = (rng.normal(size=(5, 64)) * np.array([[0.01], [1], [100], [1], [0]]) + 0.3).astype(np.float32)
    found = run(quantize(linear_model(weight), "text_encoder", INT8), x=x)
    low, high = np.minimum(x.min(1, keepdims=True), 0), np.maximum(x.max(1, keepdims=True), 0)
    step = (high - low) / 255
    zero = np.round(-low / step)
    w_step = np.abs(weight).max(0) / 127
    wanted = ((np.clip(np.round(x / step) + zero, 0, 255) - zero) @ np.round(weight / w_step)) * step * w_step
    assert (np.abs(found - wanted).max(1) <= 1e-4 * (high[:, 0] - low[:, 0]) * 64).all()
    # One range for all rows would lose the small ones altogether: its step is larger than they are.
    assert (np.abs(found - x @ weight).max(1) < 0.1 * np.abs(x @ weight).max(1)).all()


def test_a_float_weight_stored_as_half_is_computed_in_float32() -> None:
    weight = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(5, 64)).astype(np.float32)
    model = store_half(linear_model(weight))
    assert [tensor.const_value.dtype for tensor in model.graph.initializers.values()] == [ir.DataType.FLOAT16]
    assert np.allclose(run(model, x=x), x @ weight.astype(np.float16).astype(np.float32), atol=1e-5)


def test_a_weight_beyond_float16_keeps_its_float32() -> None:
    weight = np.full((64, 32), 1e5, np.float32)
    model = store_half(linear_model(weight))
    assert [tensor.const_value.dtype for tensor in model.graph.initializers.values()] == [ir.DataType.FLOAT]


def test_a_module_that_the_recipe_keeps_stays_float() -> None:
    weight = np.ones((64, 32), np.float32)
    model = linear_model(weight, name="reasoning.token_proj.weight")
    with pytest.raises(RuntimeError, match="quantized nothing"):
        quantize(model, "denoiser", get_recipe("int8", "onnx"))
    assert [node.op_type for node in model.graph] == ["MatMul"]


def test_two_products_of_one_activation_quantize_it_once() -> None:
    weights = {
        f"{n}.weight": np.random.default_rng(i).normal(size=(64, 32)).astype(np.float32) for i, n in enumerate("ab")
    }
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "a.weight"], ["a"]),
        onnx.helper.make_node("MatMul", ["x", "b.weight"], ["b"]),
        onnx.helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    model = model_of(nodes, weights, 32)
    operations = [node.op_type for node in quantize(model, "denoiser", INT8).graph]
    assert operations.count("DynamicQuantizeLinear") == 1 and operations.count("MatMulInteger") == 2


def test_an_exported_denoiser_holds_int8_where_the_recipe_says_and_float_elsewhere(bundle_folder: Path) -> None:
    graph = onnx.load(bundle_folder / "denoiser.onnx", load_external_data=False).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 2}
    int8 = {name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8}
    for block in range(8):
        for module in (*(f"scan.{m}" for m in ("value", "gate", "maps", "rates", "out_proj")), "ffn.fc1", "ffn.fc2"):
            assert f"blocks.{block}.{module}.weight.int8" in int8
        assert f"blocks.{block}.modulation.weight.int8" in int8
    assert kinds["time_embedding.mlp.0.weight.half"] == onnx.TensorProto.FLOAT16
    assert not [name for name in int8 if name.startswith(("reasoning", "time_embedding", "final_proj"))]


def test_only_parameters_are_quantized_never_a_constant_of_the_arithmetic(bundle_folder: Path, small_models) -> None:  # type: ignore[no-untyped-def]
    graph = onnx.load(bundle_folder / "denoiser.onnx", load_external_data=False).graph
    parameters = {name for name, _ in small_models.denoiser.named_parameters()}
    int8 = {t.name.removesuffix(".int8") for t in graph.initializer if t.name.endswith(".int8")}
    assert int8 and int8 <= parameters


def test_the_int8_denoiser_is_about_a_quarter_of_its_float_size(bundle_folder: Path, small_models) -> None:  # type: ignore[no-untyped-def]
    float_bytes = 4 * sum(parameter.numel() for parameter in small_models.denoiser.parameters())
    size = sum(path.stat().st_size for path in bundle_folder.glob("denoiser.onnx*"))
    assert size < 0.4 * float_bytes


def test_a_product_whose_result_is_the_next_ones_input_gets_names_of_its_own() -> None:
    rng = np.random.default_rng(0)
    weights = {f"{name}.weight": rng.normal(size=(64, 64)).astype(np.float32) for name in ("one", "two")}
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "one.weight"], ["a"], name="one/MatMul"),
        onnx.helper.make_node("MatMul", ["a", "two.weight"], ["y"], name="two/MatMul"),
    ]
    model = model_of(nodes, weights, 64)
    x = rng.normal(size=(5, 64)).astype(np.float32)
    wanted = x @ weights["one.weight"] @ weights["two.weight"]
    assert np.corrcoef(run(quantize(model, "denoiser", INT8), x=x).flatten(), wanted.flatten())[0, 1] > 0.999

"""What stops an export: each gate with something that must not pass it, and what is left behind."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lira_export.gates import check_loaded, check_quantized, inspect, measure_parity
from lira_export.guard import check_lowering
from lira_export.loaded import loaded_bytes
from lira_export.onnx import target as onnx_target
from lira_export.onnx.target import OnnxTarget
from lira_export.recipes import RECIPES, Recipe, get_recipe
from lira_export.target import Inventory, Job, Written
from lira_runtime.bundle import Bundle
from lira_runtime.errors import OverBudget, ParityLost
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import Graph

INT8, FP32 = get_recipe("int8", "onnx"), get_recipe("fp32", "onnx")
DECODER = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]
DECODER += ["--component", "decoder"]
Run = Callable[..., tuple[int, str, str]]


def holding(elements: dict[str, int], rank: int = 4) -> Inventory:
    return Inventory(Counter(), Counter(), Counter(), Counter(elements), rank)


@pytest.mark.parametrize(
    ("recipe", "fits", "too_wide"),
    [
        ("int8", {"int8": 80, "float32": 20}, {"int8": 79, "float32": 21}),
        ("int8", {"int8": 80, "float16": 20}, {"int8": 79, "float16": 21}),
        ("int4", {"int4": 80, "float16": 20}, {"int8": 30, "float32": 70}),
        ("int6", {"uint8": 90, "float16": 10}, {"float16": 100}),
    ],
)
def test_more_wide_weights_than_the_recipe_allows_are_caught(
    recipe: str, fits: dict[str, int], too_wide: dict[str, int]
) -> None:
    check_quantized("denoiser", RECIPES[recipe], holding(fits))
    with pytest.raises(ParityLost, match=f"denoiser: .* recipe {recipe} allows 20%: the file is not quantized"):
        check_quantized("denoiser", RECIPES[recipe], holding(too_wide))


def test_a_float_recipe_has_nothing_to_prove() -> None:
    check_quantized("denoiser", FP32, holding({"float32": 100}))
    check_loaded("denoiser", FP32, holding({"float32": 10**8}), 10**9)


def test_a_loaded_graph_that_takes_the_memory_of_its_float32_weights_is_caught() -> None:
    big, small = holding({"int8": 25_000_000}), holding({"int8": 10_000_000})
    check_loaded("denoiser", INT8, big, 99_999_999)
    check_loaded("denoiser", INT8, big, None)
    check_loaded("denoiser", INT8, small, 41_000_000)  # less than what any process takes on
    with pytest.raises(ParityLost, match="101 MB once loaded, 100 MB would be its float32 weights"):
        check_loaded("denoiser", INT8, big, 101_000_000)


def test_a_tensor_of_six_dimensions_is_caught() -> None:
    check_lowering("coreml", "decoder", holding({}, rank=5))
    with pytest.raises(ParityLost, match="decoder: a tensor has rank 6, 5 is the most"):
        check_lowering("coreml", "decoder", holding({}, rank=6))


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is Linux's")
def test_loaded_bytes_are_those_of_the_weights_and_no_process_before(tmp_path: Path) -> None:
    def measured(side: int) -> int:
        tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, side]) for n in ("x", "y")]
        weight = numpy_helper.from_array(np.ones((side, side), np.float32), "w")
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        graph = helper.make_graph(nodes, "product", tensors[:1], tensors[1:], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.save(model, tmp_path / f"{side}.onnx")
        x, y = (TensorSpec(name=name, shape=(1, side), dtype="float32") for name in ("x", "y"))
        entry = Graph(path=f"{side}.onnx", entry="main", inputs=(x,), outputs=(y,))
        found = loaded_bytes("onnx", entry, tmp_path)
        assert found is not None
        return found

    large, small = measured(4096), measured(16)
    assert small < 32e6
    assert 0.9 * 4 * 4096**2 < large < 3.5 * 4 * 4096**2


def test_a_graph_that_its_own_process_cannot_load_is_one_sentence(tmp_path: Path) -> None:
    x = TensorSpec(name="x", shape=(1,), dtype="float32")
    with pytest.raises(
        OverBudget, match=r"none\.onnx could not be run in a process of its own: .*none\.onnx"
    ) as caught:
        loaded_bytes("onnx", Graph(path="none.onnx", entry="main", inputs=(x,), outputs=(x,)), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_was_never_quantized_is_caught_by_what_it_holds(decoder_job: Callable[[Recipe], Job]) -> None:
    job = decoder_job(FP32)
    written, target = OnnxTarget().write(job), OnnxTarget()
    assert inspect(target, job, written).weight_bytes.keys() >= {"float32"}
    with pytest.raises(ParityLost, match="decoder: 100% .* wider than int8, .*: the file is not quantized"):
        inspect(target, replace(job, recipe=INT8), written)


def test_an_export_whose_quantizer_does_nothing_fails(
    tmp_path: Path, run_export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_target, "_reduced", lambda model, job, ranges: model)
    for flags in ((), ("--allow-parity-failure",)):  # that flag forgives pictures, not a file that is not int8
        code, stdout, err = run_export(*DECODER, "--out", str(tmp_path / "bundle"), *flags)
        assert (code, stdout) == (4, "") and "the file is not quantized" in err.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []


def change_one_weight(folder: Path) -> None:
    """Add 4 to one weight of the last layer, in the file."""
    model = onnx.load(folder / "decoder.onnx")
    (last,) = (t for t in model.graph.initializer if t.name == "head.1.weight.half")
    changed = numpy_helper.to_array(last).copy()
    changed.flat[0] += 4
    last.CopyFrom(numpy_helper.from_array(changed, last.name))
    (folder / "decoder.onnx.data").unlink()
    onnx.save_model(model, folder / "decoder.onnx", save_as_external_data=True, location="decoder.onnx.data")


def test_one_changed_weight_in_the_file_is_a_loss_of_parity(decoder_job: Callable[[Recipe], Job]) -> None:
    job, target = decoder_job(INT8), OnnxTarget()
    written = target.write(job)
    assert measure_parity(target, job, written).passed
    change_one_weight(job.folder)
    parity = measure_parity(target, job, written)
    assert not parity.passed and parity.psnr_db < parity.threshold_db == 45


@pytest.fixture
def tampered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports whose decoder has one weight changed after it was written."""
    honest = OnnxTarget.write

    def write(target: OnnxTarget, job: Job) -> Written:
        written = honest(target, job)
        change_one_weight(job.folder)
        return written

    monkeypatch.setattr(OnnxTarget, "write", write)


@pytest.mark.usefixtures("tampered")
def test_an_export_with_one_changed_weight_fails_and_leaves_nothing(tmp_path: Path, run_export: Run) -> None:
    code, stdout, err = run_export(*DECODER, "--out", str(tmp_path / "bundle"))
    assert (code, stdout) == (4, "")
    assert err.splitlines()[-1].startswith("error: decoder: recipe int8 keeps ")
    assert "45 dB are needed" in err and "--allow-parity-failure" in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("tampered")
def test_a_forgiven_export_is_written_warns_and_says_in_its_manifest_that_it_failed(
    tmp_path: Path, run_export: Run
) -> None:
    code, _, err = run_export(*DECODER, "--out", str(tmp_path / "bundle"), "--allow-parity-failure")
    assert code == 0
    (warning,) = (line for line in err.splitlines() if line.startswith("WARNING: "))
    assert "decoder: recipe int8 keeps" in warning and "45 dB are needed" in warning
    (component,) = Bundle.open(tmp_path / "bundle").manifest.components
    assert not component.parity.passed and component.parity.psnr_db < 35

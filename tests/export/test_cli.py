"""`lira-export` as a user types it: what it refuses, and that nothing is left behind."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from event_lines import read_events

from lira.checkpoint import save_module, save_tensors
from lira.sources import WEIGHT_FILES, Models
from lira_runtime import manifest
from lira_runtime.bundle import Bundle
from lira_runtime.interface import COMPONENTS

SMALL = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]
CONTROL_FLOW = {"Loop", "Scan", "If", "CumSum", "Einsum"}
INDEXED = {"GatherElements", "GatherND", "NonZero", "Scatter", "ScatterElements", "ScatterND"}
MOST_DIMENSIONS = 5

Run = Callable[..., tuple[int, str, str]]


def is_one_sentence(err: str, part: str) -> bool:
    """Whether stderr is a single line that says what is wrong."""
    lines = err.splitlines()
    return len(lines) == 1 and lines[0].startswith("error: ") and part in lines[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "tensorrt", "--config", "nano"], "Unknown target 'tensorrt'"),
        (["--target", "onnx", "--config", "huge"], "Unknown config 'huge'"),
        (["--target", "onnx", "--config", "nano", "--latent", "f9"], "Unknown latent kind 'f9'"),
        (["--target", "onnx", "--config", "nano", "--component", "unet"], "Unknown component 'unet'"),
        (["--target", "onnx", "--config", "nano", "--recipe", "int3"], "Unknown recipe 'int3'"),
        (["--target", "onnx", "--config", "nano", "--text-encoder", "t5"], "Unknown text encoder 't5'"),
        ([*SMALL[:6], "--resolution", "100", "--text-encoder", "demo"], "100 x 100 px does not fit f8c4"),
        ([*SMALL[:6], "--resolution", "1040", "--text-encoder", "demo"], "multiples of 32"),
        ([*SMALL[:6], "--resolution", "0", "--text-encoder", "demo"], "--resolution"),
        ([*SMALL, "--seed", "seven"], "seven"),
        ([*SMALL, "--seed", "-1"], "-1"),
        ([*SMALL, "--checkpoint", "/nowhere"], "/nowhere is not a directory"),
        (["--config", "nano"], "--target"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str, tmp_path: Path, run_export: Run
) -> None:
    code, stdout, err = run_export(*arguments, "--out", str(tmp_path / "bundle"))
    assert code == 2 and stdout == ""
    assert is_one_sentence(err, sentence), err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["onnx", "all"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(target: str, run_export: Run) -> None:
    start = time.process_time()
    code, _, err = run_export("--target", target, "--config", "small", "--out", "/proc/bundle")
    assert code == 2 and is_one_sentence(err, "the folder /proc cannot be written to"), err
    assert time.process_time() - start < 1


def test_a_place_that_no_engine_can_open_is_refused_before_the_work(tmp_path: Path, run_export: Run) -> None:
    code, _, err = run_export(*SMALL, "--out", str(tmp_path / os.fsdecode(b"b\xff") / "bundle"))
    assert code == 2 and "is no UTF-8" in err and not list(tmp_path.iterdir())


def test_a_folder_in_use_is_refused_and_kept(tmp_path: Path, run_export: Run) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    code, _, err = run_export(*SMALL, "--out", str(tmp_path), "--force")
    assert code == 2 and is_one_sentence(err, "not a bundle"), err
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_a_second_export_needs_force(bundle_folder: Path, run_export: Run) -> None:
    before = (bundle_folder / "manifest.json").read_bytes()
    code, _, err = run_export(*SMALL, "--out", str(bundle_folder))
    assert code == 2 and is_one_sentence(err, "already holds a bundle"), err
    assert (bundle_folder / "manifest.json").read_bytes() == before


def test_a_dry_run_says_what_and_writes_nothing(tmp_path: Path, run_export: Run) -> None:
    code, stdout, err = run_export(*SMALL, "--dry-run", "--out", str(tmp_path / "bundle"))
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert "NO WEIGHTS" in err and "denoiser: " in stdout and "parameters" in stdout


def write_checkpoint(models: Models, folder: Path) -> None:
    for module, name, metadata in (
        (models.denoiser, "denoiser", {"config": "nano"}),
        (models.decoder, "decoder", {"kind": "f8c4"}),
        (models.text_encoder, "text_encoder", {"preset": "demo"}),
    ):
        save_module(module, folder / f"{name}.safetensors", next(module.parameters()).dtype, metadata)


def test_a_checkpoint_exports_the_component_asked_for_as_a_partial_bundle(
    small_models: Models, tmp_path: Path, run_export: Run
) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "bundle"
    checkpoint.mkdir()
    write_checkpoint(small_models, checkpoint)
    arguments = ("--checkpoint", str(checkpoint), "--component", "decoder", "--json", "--out", str(out))
    code, stdout, err = run_export(*SMALL, *arguments)
    assert code == 0 and "NO WEIGHTS" not in err
    *before, result = read_events(stdout)
    assert not err and {each["event"] for each in before} == {"note", "component", "bundle"}
    assert result["bundles"] == [str(out)] and before[-1]["path"] == str(out) and before[-1]["drift_plot"] is None
    written = Bundle.open(out).manifest
    assert written.partial and [component.name for component in written.components] == ["decoder"]
    assert written.source.weights == "checkpoint"


def test_a_checkpoint_of_another_config_is_refused_and_the_right_one_named(
    small_models: Models, tmp_path: Path, run_export: Run
) -> None:
    write_checkpoint(small_models, tmp_path)
    out = tmp_path / "bundle"
    code, _, err = run_export("--target", "onnx", "--config", "tiny", "--checkpoint", str(tmp_path), "--out", str(out))
    assert code == 2 and is_one_sentence(err, "--config nano"), err
    assert not out.exists()


@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_a_damaged_or_missing_checkpoint_file_is_named(
    name: str, small_models: Models, tmp_path: Path, run_export: Run
) -> None:
    write_checkpoint(small_models, tmp_path)
    path, out = tmp_path / name, tmp_path / "bundle"

    def refused() -> None:
        code, _, err = run_export(*SMALL, "--checkpoint", str(tmp_path), "--out", str(out))
        assert code == 2 and is_one_sentence(err, name), err
        assert not out.exists()

    path.write_bytes(path.read_bytes()[:1000])
    refused()
    save_tensors(path, {"unknown": next(small_models.decoder.parameters())})
    refused()
    path.unlink()
    refused()


def test_the_fp32_recipe_writes_float32_and_measures_no_quantization(tmp_path: Path, run_export: Run) -> None:
    out = tmp_path / "bundle"
    code, _, err = run_export(*SMALL, "--recipe", "fp32", "--component", "decoder", "--out", str(out))
    assert code == 0, err
    (component,) = Bundle.open(out).manifest.components
    assert component.recipe == "fp32" and component.parity.psnr_db >= component.parity.threshold_db >= 90
    graph = onnx.load(out / "decoder.onnx", load_external_data=False).graph
    kinds = {tensor.data_type for tensor in graph.initializer}
    assert onnx.TensorProto.FLOAT in kinds
    assert not kinds & {onnx.TensorProto.INT8, onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT16}
    assert not [node.op_type for node in graph.node if "Quantize" in node.op_type or "Integer" in node.op_type]


def test_the_manifest_says_where_the_weights_came_from(bundle_folder: Path) -> None:
    written = manifest.load(bundle_folder)
    assert (written.source.weights, written.source.seed, written.preset) == ("seed", 5, "nano")
    assert {"torch", "onnx", "onnxruntime", "onnxsim"} <= written.tools.keys()
    assert written.resolutions == (64,) and written.latent.name == "f8c4"


def test_the_three_graphs_keep_to_ir_10_and_opset_20_without_control_flow(bundle_folder: Path) -> None:
    paths = sorted(bundle_folder.glob("*.onnx"))
    assert [path.stem for path in paths] == sorted(COMPONENTS)
    for path in paths:
        model = onnx.load(path, load_external_data=False)
        assert model.ir_version <= 10
        assert {opset.domain: opset.version for opset in model.opset_import}[""] == 20
        assert {node.domain for node in model.graph.node} == {""}
        assert not {node.op_type for node in model.graph.node} & CONTROL_FLOW


def test_the_denoiser_has_rank_5_at_most_and_no_gather_or_scatter_of_many_indices(bundle_folder: Path) -> None:
    model = onnx.load(bundle_folder / "denoiser.onnx", load_external_data=False)
    assert not {node.op_type for node in model.graph.node} & (CONTROL_FLOW | INDEXED)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.value_info, *graph.output)}
    assert ranks.keys() >= {output for node in graph.node for output in node.output}, "a rank that is not known"
    assert max(ranks.values()) <= MOST_DIMENSIONS
    assert max(len(tensor.dims) for tensor in graph.initializer) <= MOST_DIMENSIONS

"""A prediction, against its parts and what processes took."""

import sys
from pathlib import Path

import pytest

from lira.latents import latent_kind
from lira.sources import Models, Request, load_models
from lira_export.components import build_components
from lira_export.loaded import run_stage
from lira_export.memory.calibration import check_predictable, engines
from lira_export.memory.fit import networks_of
from lira_export.memory.held import measured_peak
from lira_export.memory.network import Network, workspace
from lira_export.memory.predict import Load, PipelineMemory, StageMemory, predict_pipeline, predict_stage
from lira_export.memory.shapes import shape_models
from lira_export.onnx.convert import to_onnx
from lira_export.onnx.store import save_alone
from lira_export.recipes import HOW, RECIPES
from lira_export.target import ENTRY
from lira_export.tflite.convert import to_tflite
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.manifest import Graph, TargetName

MB = 1_000_000
SIDE = 64
ENGINES: tuple[TargetName, ...] = ("onnx", "tflite")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is Linux's")


@pytest.fixture(scope="module")
def networks(small_models: Models) -> list[Network]:
    return [Network.of(component, SIDE) for component in build_components(small_models, SIDE)]


def test_a_stage_peaks_while_it_loads_or_while_it_runs() -> None:
    running = StageMemory(runtime=10, weights=100, activations=30, loading=20, left=5)
    assert (running.above, running.peak) == (35, 145)
    loading = StageMemory(runtime=10, weights=100, activations=30, loading=50, left=5)
    assert (loading.above, loading.peak) == (50, 160)
    streaming = StageMemory(runtime=10, weights=20, activations=30, loading=0, left=0, let_go=25)
    assert (streaming.above, streaming.peak) == (5, 35)
    record = loading.record()
    parts = (record.weights_bytes, record.activations_bytes, record.runtime_bytes)
    assert parts == (100, 50, 10) and record.predicted_bytes == sum(part or 0 for part in parts)


def test_a_pipeline_is_its_process_with_its_greatest_stage_and_what_stays_of_the_one_before() -> None:
    small, large = StageMemory(10, 50, 5, 0, 0), StageMemory(10, 90, 30, 0, 0)
    stages = {"text_encoder": small, "denoiser": large}
    found = PipelineMemory(start=1100, process=1000, kept=17, library=7, stages=stages)
    assert found.peaks() == {"start": 1100, "text_encoder": 1065, "denoiser": 1000 + 10 + 130}
    assert (found.stage, found.peak) == ("denoiser", 1140)


def test_a_pipeline_takes_no_less_than_its_process_at_the_start() -> None:
    stages = {"denoiser": StageMemory(10, 90, 30, 0, 0)}
    found = PipelineMemory(start=1200, process=1000, kept=17, library=7, stages=stages)
    assert (found.stage, found.peak) == ("start", 1200)


@linux_only
def test_the_manifest_says_what_was_predicted_and_what_a_process_took(formats: dict[TargetName, Path]) -> None:
    """The text encoder and the decoder take 12 to 20 MB, most of it the engine's share, which differs by machine."""
    for target in ENGINES:
        for component in Bundle.open(formats[target]).manifest.components:
            memory = component.graphs[0].memory
            assert memory is not None and memory.measured_bytes is not None and memory.predicted_bytes is not None
            parts = (memory.weights_bytes, memory.activations_bytes, memory.runtime_bytes)
            assert memory.predicted_bytes == sum(part or 0 for part in parts)
            assert memory.predicted_bytes == pytest.approx(memory.measured_bytes, rel=0.15, abs=4 * MB), component.name


@linux_only
@pytest.mark.parametrize("target", ENGINES)
def test_the_demos_pipeline_takes_what_was_predicted(target: TargetName, formats: dict[TargetName, Path]) -> None:
    models = load_models(Request("nano"))
    networks = networks_of(models, (models.resolution,))[models.resolution]
    predicted = predict_pipeline(networks, Load(target, RECIPES["int8"])).peak
    assert predicted == pytest.approx(measured_peak(formats[target]), rel=0.15)


@linux_only
@pytest.mark.parametrize("target", ENGINES)
def test_a_process_takes_what_was_predicted_where_most_of_it_is_workspace(
    target: TargetName, small_models: Models, tmp_path: Path
) -> None:
    """The decoder at 512 px in float32: 1 MB of weights, and by the plan 7 and 11 MB of convolutions' tensors."""
    (decoder,) = build_components(small_models, 512, ("decoder",))
    memory = predict_stage(Network.of(decoder, 512), Load(target, RECIPES["fp32"]))
    graph = Graph(path=f"graph.{target}", entry=ENTRY, inputs=decoder.inputs, outputs=decoder.outputs)
    if target == "onnx":
        save_alone(to_onnx(decoder), tmp_path / graph.path)
    else:
        to_tflite({ENTRY: decoder}, tmp_path / graph.path)
    run = run_stage(target, graph, tmp_path)
    assert run is not None and memory.activations > 0.5 * memory.peak
    assert memory.peak == pytest.approx(run.peak_bytes, rel=0.15)


def test_every_recipe_of_a_target_that_runs_here_can_be_predicted(networks: list[Network]) -> None:
    assert set(engines()) == {"onnx", "tflite"}
    for target in engines():
        for recipe in HOW[target]:  # type: ignore[index]
            found = predict_pipeline(networks, Load(target, RECIPES[recipe]))  # type: ignore[arg-type]
            assert 40 * MB < found.peak < 400 * MB
    with pytest.raises(BadInput, match="coreml"):
        predict_stage(networks[0], Load("coreml", RECIPES["int8"]))
    with pytest.raises(BadInput, match="tflite cannot stream"):
        check_predictable("tflite", "streamed")


def test_weights_are_what_a_recipe_changes_and_streaming_leaves_out(networks: list[Network]) -> None:
    denoiser = next(each for each in networks if each.component.name == "denoiser")
    parameters = sum(tensor.numel() for tensor in denoiser.component.traceable.parameters())
    held = {name: predict_stage(denoiser, Load("onnx", RECIPES[name])).weights for name in ("fp32", "fp16", "int8")}
    assert held["fp32"] == held["fp16"] == pytest.approx(4 * parameters, rel=0.02)
    assert parameters < held["int8"] < 2 * parameters
    streamed = predict_stage(denoiser, Load("onnx", RECIPES["fp32"], "streamed"))
    mapped = predict_stage(denoiser, Load("onnx", RECIPES["fp32"], "mapped"))
    assert streamed.peak < mapped.peak and mapped.weights == held["fp32"]


def test_workspace_grows_with_the_tokens_and_is_smaller_in_eight_bits() -> None:
    planned = {}
    for side in (256, 512):
        models = shape_models("nano", latent_kind("f8c4"), "demo", side)
        (denoiser,) = (Network.of(each, side) for each in build_components(models, side, ("denoiser",)))
        for recipe in ("fp32", "int8"):
            planned[side, recipe] = workspace(denoiser, "onnx", recipe).nbytes
    assert 3.5 < planned[512, "fp32"] / planned[256, "fp32"] < 4.5
    assert planned[512, "int8"] < planned[512, "fp32"]

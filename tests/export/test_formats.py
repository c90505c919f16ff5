"""The demo model in all three formats, by the default recipe: what its files hold, and that they draw the same."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lowering_baseline import counts, moved
from PIL import Image

from lira.evaluation.eager import draw_batch
from lira.sources import Request as Weights
from lira.sources import load_models
from lira_export.guard import ALLOWED, CONTROL_FLOW, UNDELEGATED
from lira_export.targets import TARGETS, make_target
from lira_runtime import manifest, sampler
from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.cli import main as generate
from lira_runtime.doctor.host import check_processor
from lira_runtime.golden import psnr_db
from lira_runtime.manifest import TargetName
from lira_runtime.pipeline import ImageReady, Pipeline, Request
from lira_runtime.sampler import shifted_sigmas

BASELINE = Path(__file__).with_name("lowering.json")
GOLDEN = Path(__file__).parents[1] / "golden"
Folders = dict[str, Path]
ROWS = "rows of tokens that the scan's chunk does not divide are padded, and cropped after"
VIEW = "takes a dimension of one away, and copies nothing"
ELSEWHERE: dict[TargetName, dict[str, str]] = {
    "onnx": {"Pad": ROWS, "Slice": ROWS, "Squeeze": VIEW},
    "coreml": {
        "pad": ROWS,
        "squeeze": VIEW,
        "clip": "a clamp with two bounds, one op on every processor",
        "constexpr_blockwise_shift_scale": "int8 and int4 from iOS 18 on",
        "constexpr_lut_to_dense": "the palettes of int6 and mixed",
        "quantize": "w8a8",
        "dequantize": "w8a8",
    },
    "tflite": {
        "PAD": ROWS,
        "DEQUANTIZE": "fp16",
        "RELU": "a ReLU that is not fused into the product before it, which XNNPACK has",
    },
}
"""Ops that a target may have and the demo by int8 has not, and why they may stand."""


@pytest.mark.lowering
def test_ops_by_kind_are_those_of_the_baseline(formats: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    found = counts(list(formats.values()))
    with capsys.disabled():
        print()
        for target, parts in found.items():
            for part, kinds in parts.items():
                listed = ", ".join(f"{kind} {count}" for kind, count in Counter(kinds).most_common())
                print(f"{target} {part}: {listed}")
    changed = moved(json.loads(BASELINE.read_text()), found)
    assert not changed, "\n".join(["ops have moved; look, then `make baseline`:", *changed])


@pytest.mark.lowering
@pytest.mark.parametrize("target", TARGETS)
def test_every_op_that_is_allowed_is_in_a_graph_or_has_a_reason(target: TargetName) -> None:
    used = {kind for component in json.loads(BASELINE.read_text())[target].values() for kind in component}
    assert not used & CONTROL_FLOW
    assert not used & set(ELSEWHERE[target]), "no reason is needed any more"
    assert used | set(ELSEWHERE[target]) == ALLOWED[target]


@pytest.mark.lowering
def test_xnnpack_takes_every_op_but_look_ups_and_the_step_count(
    formats: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    from lira_export.tflite.delegation import undelegated

    found = {}
    for component in manifest.load(formats["tflite"]).components:
        graph = component.graphs[0]
        left = found[component.name] = undelegated(formats["tflite"] / graph.path, graph.entry)
        with capsys.disabled():
            reasons = "".join(f"\n    {kind}: {UNDELEGATED.get(kind, 'NO REASON KNOWN')}" for kind in left)
            print(f"\ntflite {component.name}: {sum(left.values())} ops not taken by XNNPACK{reasons}", end="")
    assert found == {"text_encoder": {"EMBEDDING_LOOKUP": 1, "RESHAPE": 1}, "denoiser": {"CAST": 1}, "decoder": {}}


@pytest.mark.parametrize("target", TARGETS)
def test_the_default_recipe_draws_the_eager_models_picture_in_every_format(formats: Folders, target: str) -> None:
    drawn = manifest.load(formats[target]).trajectory
    assert drawn is not None and drawn.passed and len(drawn.drift_db) == drawn.steps == 20
    assert 30 <= drawn.image_psnr_db < 100, "closer than 8-bit weights can be: nothing was quantized"


@pytest.mark.parametrize("target", TARGETS)
@torch.inference_mode()
def test_the_reasoning_loop_stops_where_eagers_does(formats: Folders, target: TargetName) -> None:
    models, bundle = load_models(Weights("nano")), Bundle.open(formats[target])
    graph, backend = bundle.graph("denoiser"), make_target(target).backend()
    generator = torch.Generator().manual_seed(0)
    latent, text = (torch.randn(graph.inputs[index].shape, generator=generator) for index in (0, 2))
    backend.load(graph, bundle.path)
    for time in (0.9, 0.2):
        inputs = {"latent": latent, "timestep": torch.tensor([time]), "text_states": text}
        found = backend.run({name: value.numpy() for name, value in inputs.items()})["reasoning_steps"]
        wanted = models.denoiser(*inputs.values())[1]["total_steps"]
        assert found.tolist() == wanted.tolist() and wanted < models.denoiser.preset.reasoning_steps
    backend.unload()


def test_the_three_bundles_hold_the_same_components_with_the_same_tensors(formats: Folders) -> None:
    contracts = {
        target: [
            (part.name, graph.inputs, graph.outputs)
            for part in manifest.load(folder).components
            for graph in part.graphs
        ]
        for target, folder in formats.items()
    }
    assert contracts["onnx"] == contracts["coreml"] == contracts["tflite"]


def test_lira_generate_draws_with_the_tflite_bundle_what_its_manifest_says(formats: Folders, tmp_path: Path) -> None:
    said, models, out = manifest.load(formats["tflite"]).trajectory, load_models(Weights("nano")), tmp_path / "a.png"
    assert said is not None
    with pytest.raises(SystemExit) as ended:
        generate([str(formats["tflite"]), said.prompt, "--seed", str(said.seed), "--out", str(out)])
    assert not ended.value.code
    sigmas = shifted_sigmas(said.steps, models.sampler.shift)
    (eager,) = draw_batch(models, [said.prompt], said.seed, sigmas, said.guidance)
    with Image.open(out) as image:
        error = np.sqrt(np.mean(np.square(np.asarray(image).astype(float) - eager)))
    assert 20 * np.log10(255 / error) == pytest.approx(said.image_psnr_db, abs=0.2)


def test_the_onnx_bundle_draws_the_golden_drawing(formats: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """What every other runtime is compared with, too; the limits are docs/apps.md's."""
    if (processor := check_processor(None)).level == "notice":
        pytest.skip(processor.said)
    golden, bundle = json.loads((GOLDEN / "nano.json").read_text()), Bundle.open(formats["onnx"])
    assert bundle.manifest.source.digest == golden["weights_digest"], (
        "the demo's weights are others than those of tests/golden/nano.json: "
        f"draw it anew with `python tests/golden/generate.py --only --nano {formats['onnx']}`"
    )
    wanted = np.fromfile(GOLDEN / golden["latents"], "<f4").reshape(golden["shape"])
    latents, honest = [], sampler.sample

    def recording(*asked: Any) -> Iterator[sampler.Step]:
        for step in honest(*asked):
            latents.append(step.x)
            yield step

    monkeypatch.setattr(sampler, "sample", recording)
    pipeline = Pipeline(bundle, backend_for("onnx", SessionSettings(threads=golden["threads"])), golden["resolution"])
    request = Request(*(golden["prompt"], int(golden["seed"]), golden["steps"], golden["guidance"], golden["method"]))
    *_, ready = pipeline.generate(request)
    assert isinstance(ready, ImageReady)
    assert psnr_db(latents[0], wanted[0]) >= 60
    assert min(psnr_db(x, y) for x, y in zip(latents, wanted, strict=True)) >= 42
    with Image.open(GOLDEN / golden["picture"]) as picture:
        error = np.sqrt(np.mean(np.square(ready.image / 255 - np.asarray(picture) / 255)))
    assert -20 * np.log10(max(error, 1e-10)) >= 45

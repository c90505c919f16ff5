"""The measure of parity, and that a changed graph fails it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import helper, numpy_helper

from lira.sources import Models
from lira_export.bundle import Order, write_bundle
from lira_export.components import build_components
from lira_export.onnx.target import OnnxTarget
from lira_export.parity import Sample, cosine, psnr_db, reference_samples, require_float32_parity
from lira_export.passes.simplify import simplify
from lira_export.recipes import Recipe, get_recipe
from lira_export.references import References
from lira_export.target import Job
from lira_export.targets import TARGETS, make_target
from lira_runtime import manifest
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.errors import ParityLost
from lira_runtime.manifest import TargetName
from lira_runtime.tokenizer import ClipTokenizer

INT8 = get_recipe("int8", "onnx")


def test_psnr_of_a_known_error() -> None:
    reference = np.array([10.0, -10.0, 0.0, 5.0], np.float32)
    assert psnr_db(reference + 0.1, reference) == pytest.approx(20 * np.log10(10 / 0.1), abs=1e-4)
    assert psnr_db(reference, reference) == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_has_no_parity(bad: float) -> None:
    reference = np.ones(3, np.float32)
    assert psnr_db(np.array([1, bad, 1], np.float32), reference) == -np.inf


def test_cosine_of_known_angles_and_of_what_has_none() -> None:
    right, up = np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 0.5]], np.float32)
    assert cosine(right, up) == 0 and cosine(right, right + 4 * up) == pytest.approx(np.sqrt(0.5), abs=1e-12)
    assert cosine(right, -3 * right) == pytest.approx(-1, abs=1e-12)
    for nothing in (0 * right, np.array([[np.nan, 1]], np.float32), np.array([[np.inf, 1]], np.float32)):
        assert cosine(nothing, right) == 0 and cosine(right, nothing) == 0


def test_the_manifest_holds_parity_above_the_thresholds(bundle_folder: Path) -> None:
    written = manifest.load(bundle_folder)
    for component in written.components:
        parity = component.parity
        assert parity.passed and parity.float32_max_abs is not None
        assert 0 < parity.float32_max_abs <= 1e-4
        assert parity.psnr_db >= parity.threshold_db >= 30 and 0.999 <= parity.cosine < 1
        assert parity.psnr_db < 120, "an int8 graph that equals float32 was not quantized"


@torch.inference_mode()
def test_the_denoisers_figure_holds_on_inputs_that_the_exporter_never_saw(
    bundle_folder: Path, small_models: Models
) -> None:
    entry = next(part for part in manifest.load(bundle_folder).components if part.name == "denoiser")
    generator = torch.Generator().manual_seed(1234)
    backend = OnnxBackend()
    (graph,) = entry.graphs
    backend.load(graph, bundle_folder)
    psnr = []
    for prompt, t in (("a yellow cat", 0.99), ("two owls in the rain", 0.73), ("a bus", 0.31), ("a green key", 0.02)):
        text = small_models.text_encoder(torch.from_numpy(ClipTokenizer.vendored().encode(prompt).ids))
        latent, time = torch.randn(graph.inputs[0].shape, generator=generator), torch.tensor([t])
        wanted, info = small_models.denoiser(latent, time, text)
        inputs = {"latent": latent, "timestep": time, "text_states": text}
        found = backend.run({name: value.numpy() for name, value in inputs.items()})
        error = torch.from_numpy(found["velocity"]).double() - wanted.double()
        psnr.append(float(20 * torch.log10(wanted.abs().max() / error.square().mean().sqrt())))
        assert found["reasoning_steps"].tolist() == info["total_steps"].tolist()
    assert min(psnr) >= 30, psnr
    assert min(psnr) >= entry.parity.psnr_db - 4, (psnr, entry.parity)


@pytest.mark.parametrize("target", TARGETS)
def test_a_twin_with_one_weight_changed_fails_the_export(
    target: TargetName, decoder_job: Callable[[Recipe], Job]
) -> None:
    job = decoder_job(INT8)
    weight = job.variants[64].traceable.head[1].weight
    with torch.no_grad():
        kept = weight[0, 0].clone()
        weight[0, 0] += 1.0
    try:
        with pytest.raises(ParityLost, match="decoder: the float32 graph"):
            make_target(target).write(job)
    finally:
        with torch.no_grad():
            weight[0, 0] = kept


@pytest.mark.parametrize("error", [1.1e-4, -1.1e-4, np.nan])
def test_a_float32_graph_may_be_a_ten_thousandth_from_eager_in_every_value(error: float) -> None:
    reference = np.zeros((2, 3), np.float32)
    samples = [Sample({}, reference), Sample({}, reference)]
    near, far = reference.copy(), reference.copy()
    near[0, 1], far[1, 2] = -0.9e-4, error
    assert require_float32_parity("decoder", [reference, near], samples) == pytest.approx(0.9e-4)
    with pytest.raises(ParityLost, match="^decoder: the float32 graph is .* from eager, allowed 1e-04"):
        require_float32_parity("decoder", [near, far], samples)


def test_a_graph_that_onnxsim_changes_fails_the_export(
    decoder_job: Callable[[Recipe], Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shifted(model: ir.Model) -> ir.Model:
        """Simplified, and 0.01 added to what comes out."""
        proto = ir.to_proto(simplify(model))
        (output,) = proto.graph.output
        (last,) = (node for node in proto.graph.node if output.name in node.output)
        last.output[0] = "before"
        proto.graph.initializer.append(numpy_helper.from_array(np.float32(0.01), "shift"))
        proto.graph.node.append(helper.make_node("Add", ["before", "shift"], [output.name], "shift"))
        return ir.from_proto(proto)

    monkeypatch.setattr("lira_export.onnx.target.simplify", shifted)
    with pytest.raises(ParityLost, match=r"^decoder: onnxsim changed the graph's outputs by 1\.00e-02"):
        OnnxTarget().write(decoder_job(INT8))


def test_a_recipe_that_asks_more_than_int8_gives_fails_the_export(small_models: Models, tmp_path: Path) -> None:
    greedy = replace(INT8, least_psnr_db={"decoder": 150.0})
    order = Order("nano", OnnxTarget(), greedy, tmp_path / "bundle", ("decoder",))
    with pytest.raises(ParityLost, match="decoder: .* 150 dB are needed"):
        write_bundle(order, References(small_models, (64,)), lambda line: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "run"),
    [
        ("text_encoder", {"text_encoder"}),
        ("denoiser", {"text_encoder", "denoiser"}),
        ("decoder", {"decoder"}),
    ],
)
def test_samples_of_one_component_are_those_of_all_without_running_the_others(
    wanted: str, run: set[str], small_models: Models
) -> None:
    every = {each.name: each for each in build_components(small_models, 64)}
    among_all, ran = reference_samples(every)[wanted], set()
    hooks = [
        getattr(small_models, name).register_forward_hook(lambda *call, name=name: ran.add(name)) for name in every
    ]
    (alone,) = References(small_models, (64,)).samples(wanted).values()
    for hook in hooks:
        hook.remove()
    assert ran == run and len(alone) == len(among_all) == 3
    for one, other in zip(alone, among_all, strict=True):
        assert np.array_equal(one.reference, other.reference) and one.inputs.keys() == other.inputs.keys()
        assert all(np.array_equal(one.inputs[name], other.inputs[name]) for name in one.inputs)

"""The measure of parity, and that a changed graph fails it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lira.sources import Models
from lira_export.components import build_components
from lira_export.onnx.export import export_component
from lira_export.parity import psnr_db, reference_samples
from lira_export.recipes import Recipe, get_recipe
from lira_runtime import manifest
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.errors import ParityLost
from lira_runtime.tokenizer import ClipTokenizer


def test_psnr_of_a_known_error() -> None:
    reference = np.array([10.0, -10.0, 0.0, 5.0], np.float32)
    assert psnr_db(reference + 0.1, reference) == pytest.approx(20 * np.log10(10 / 0.1), abs=1e-4)
    assert psnr_db(reference, reference) == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_has_no_parity(bad: float) -> None:
    reference = np.ones(3, np.float32)
    assert psnr_db(np.array([1, bad, 1], np.float32), reference) == -np.inf


def test_the_manifest_holds_parity_above_the_thresholds(bundle_folder: Path) -> None:
    written = manifest.load(bundle_folder)
    for component in written.components:
        assert component.parity.passed
        assert 0 < component.parity.fp32_max_abs <= 1e-4
        assert component.parity.quantized_psnr_db is not None and component.parity.threshold_db is not None
        assert component.parity.quantized_psnr_db >= component.parity.threshold_db >= 30
        assert component.parity.quantized_psnr_db < 120, "an int8 graph that equals float32 was not quantized"


@torch.inference_mode()
def test_the_denoisers_figure_holds_on_inputs_that_the_exporter_never_saw(
    bundle_folder: Path, small_models: Models
) -> None:
    entry = next(part for part in manifest.load(bundle_folder).components if part.name == "denoiser")
    generator = torch.Generator().manual_seed(1234)
    backend = OnnxBackend()
    backend.load(entry, bundle_folder / "denoiser.onnx")
    psnr = []
    for prompt, t in (("a yellow cat", 0.99), ("two owls in the rain", 0.73), ("a bus", 0.31), ("a green key", 0.02)):
        text = small_models.text_encoder(torch.from_numpy(ClipTokenizer.vendored().encode(prompt).ids))
        latent, time = torch.randn(entry.inputs[0].shape, generator=generator), torch.tensor([t])
        wanted, info = small_models.denoiser(latent, time, text)
        inputs = {"latent": latent, "timestep": time, "text_states": text}
        found = backend.run({name: value.numpy() for name, value in inputs.items()})
        error = torch.from_numpy(found["velocity"]).double() - wanted.double()
        psnr.append(float(20 * torch.log10(wanted.abs().max() / error.square().mean().sqrt())))
        assert found["reasoning_steps"].tolist() == info["total_steps"].tolist()
    assert min(psnr) >= 30, psnr
    assert min(psnr) >= entry.parity.quantized_psnr_db - 4, (psnr, entry.parity)


def test_a_twin_with_one_weight_changed_fails_the_export(small_models: Models, tmp_path: Path) -> None:
    components = {component.name: component for component in build_components(small_models, small_models.resolution)}
    samples = reference_samples(components)["decoder"]
    weight = components["decoder"].traceable.head[1].weight
    with torch.no_grad():
        kept = weight[0, 0].clone()
        weight[0, 0] += 1.0
    try:
        with pytest.raises(ParityLost, match="decoder: the float32 graph"):
            export_component(components["decoder"], samples, get_recipe("int8"), tmp_path, lambda line: None)
    finally:
        with torch.no_grad():
            weight[0, 0] = kept


def test_a_recipe_that_asks_more_than_int8_gives_fails_the_export(small_models: Models, tmp_path: Path) -> None:
    components = {component.name: component for component in build_components(small_models, small_models.resolution)}
    samples = reference_samples(components)["decoder"]
    greedy = Recipe("greedy", quantizes=True, least_psnr_db={"decoder": 150.0})
    with pytest.raises(ParityLost, match="150 dB are needed"):
        export_component(components["decoder"], samples, greedy, tmp_path, lambda line: None)

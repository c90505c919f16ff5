"""The measure of parity, and that a changed graph fails it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lira_export.components import build_components
from lira_export.onnx.export import export_component
from lira_export.parity import psnr_db, reference_samples
from lira_export.recipes import Recipe, get_recipe
from lira_export.sources import Models
from lira_runtime import manifest
from lira_runtime.errors import ParityLost


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

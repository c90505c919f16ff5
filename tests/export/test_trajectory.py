"""A whole drawing, measured: closed forms, the eager drawing by another path, and what the manifest says of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lira.evaluation.eager import draw_batch
from lira.sources import Models
from lira_export.bundle import Order, write_bundle
from lira_export.drawing import Drawing, draw
from lira_export.drift import drift_db, picture_psnr_db
from lira_export.eager import eager_pipeline
from lira_export.onnx.target import OnnxTarget
from lira_export.recipes import get_recipe
from lira_export.references import DRAWN, References
from lira_runtime.bundle import Bundle
from lira_runtime.errors import ParityLost
from lira_runtime.manifest import TargetName
from lira_runtime.pipeline import ImageReady, Pipeline, Request
from lira_runtime.sampler import shifted_sigmas

INT8 = get_recipe("int8", "onnx")


def test_psnr_of_pictures_is_against_the_full_range() -> None:
    black = np.zeros((4, 5, 3), np.uint8)
    assert picture_psnr_db(black, black) == np.inf
    assert picture_psnr_db(black, black + np.uint8(255)) == pytest.approx(0)
    assert picture_psnr_db(black + np.uint8(1), black) == pytest.approx(20 * np.log10(255))
    one = black.copy()
    one[0, 0, 0] = 60
    assert picture_psnr_db(one, black) == pytest.approx(20 * np.log10(255 / np.sqrt(60**2 / 60)))
    assert picture_psnr_db(black, one) == picture_psnr_db(one, black), "8 bits must not wrap around"


def test_drift_is_measured_step_by_step_against_that_steps_peak() -> None:
    def drawing(*x0: float) -> Drawing:
        latents = tuple(np.array([[[[-level, level / 2]]]], np.float32) for level in x0)
        return Drawing(latents, np.zeros((1, 1, 3), np.uint8), ())

    found, reference = drawing(1.0, 8.0), drawing(2.0, 8.0)
    # First step: errors 1 and 0.5, peak 2.
    assert drift_db(found, reference) == (pytest.approx(20 * np.log10(2 / np.sqrt(1.25 / 2))), np.inf)
    with pytest.raises(ValueError, match="zip"):
        drift_db(drawing(1.0), reference)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_the_eager_pipeline_draws_what_the_evaluation_draws_eagerly(
    guidance: float, bundle_folder: Path, small_models: Models
) -> None:
    prompt, seed, steps = "an owl left of a bee on a grey background", 3, 2
    request = Request(prompt, seed=seed, steps=steps, guidance=guidance)
    found = draw(eager_pipeline(Bundle.open(bundle_folder), small_models), request)
    sigmas = shifted_sigmas(steps, small_models.sampler.shift)
    (wanted,) = draw_batch(small_models, [prompt], seed, sigmas, guidance)
    assert len(found.x0) == steps and found.image.shape == wanted.shape == (64, 64, 3)
    assert np.abs(found.image.astype(int) - wanted).max() <= 1
    assert [stage.stage for stage in found.stages] == ["text_encoder", "denoiser", "decoder"]
    assert found.seconds == sum(s.seconds for s in found.stages) > 0


def test_the_manifest_says_how_far_the_bundles_drawing_is_from_eagers(
    bundle_folder: Path, small_models: Models
) -> None:
    bundle = Bundle.open(bundle_folder)
    said, sampler = bundle.manifest.trajectory, bundle.manifest.sampler
    assert said is not None and said.passed
    assert (said.steps, said.guidance, said.seed) == (sampler.steps, sampler.guidance, DRAWN.seed)
    assert len(said.drift_db) == said.steps == 20 and said.threshold_db == INT8.least_image_psnr_db == 30
    sigmas = shifted_sigmas(said.steps, sampler.shift)
    (eager,) = draw_batch(small_models, [said.prompt], said.seed, sigmas, said.guidance)
    *_, ready = Pipeline(bundle).generate(Request(said.prompt, said.seed))
    assert isinstance(ready, ImageReady)
    error = np.sqrt(np.mean(np.square(ready.image.astype(float) - eager)))
    assert said.image_psnr_db == pytest.approx(20 * np.log10(255 / error), abs=0.2)
    assert said.image_psnr_db >= 30 and min(said.drift_db) < 120, "int8 that draws what float32 draws is not int8"


def test_a_drawing_that_drifts_too_far_stops_the_export_unless_it_is_forgiven(
    mites: Callable[[TargetName], Any], write_copies: Callable[..., None], tmp_path: Path
) -> None:
    mite = mites("onnx")
    write_copies(mite.bundle)
    greedy = replace(INT8, least_image_psnr_db=150.0)
    order = Order("mite", OnnxTarget(), greedy, tmp_path / "bundle")
    references, said = References(mite.models, Bundle.open(mite.bundle).manifest.resolutions), list[str]()
    with pytest.raises(ParityLost, match=r"after 20 steps the picture is .* 150 dB are needed.*--allow-parity-failure"):
        write_bundle(order, references, said.append)
    assert list(tmp_path.iterdir()) == [] and not [line for line in said if line.startswith("WARNING")]
    write_bundle(replace(order, forgiving=True), references, said.append)
    assert [line for line in said if line.startswith("WARNING: after 20 steps the picture is")]
    written = Bundle.open(tmp_path / "bundle").manifest
    assert written.trajectory is not None and not written.trajectory.passed
    assert all(component.parity.passed for component in written.components)

"""The evaluation's eager drawing against the runtime's pipeline over the exported bundle."""

from pathlib import Path

import numpy as np

from lira.evaluation.drawing import Options, bundle_artist
from lira.evaluation.eager import draw_batch
from lira.sources import Models
from lira_runtime.sampler import shifted_sigmas

PROMPTS = [
    "a cat on a pink background",
    "an owl left of a bee on a grey background",
    "a small key on a blue background",
]


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean(np.square(found / 255 - wanted / 255))))


def test_eager_batch_draws_what_the_bundle_draws_one_by_one(bundle_folder: Path, small_models: Models) -> None:
    from_bundle = list(bundle_artist(bundle_folder, Options(steps=2, guidance=2.0, threads=1)).draw(PROMPTS))
    eager = draw_batch(small_models, PROMPTS, 0, shifted_sigmas(2, small_models.sampler.shift), 2.0)
    assert len(eager) == len(from_bundle) == len(PROMPTS)
    for made, wanted in zip(eager, from_bundle, strict=True):
        assert psnr(made, wanted) >= 25
    assert psnr(eager[0], from_bundle[1]) < 20  # the check can tell pictures apart

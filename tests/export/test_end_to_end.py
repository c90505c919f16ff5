"""From the exported bundle to a latent, against the same sampler over the eager models."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lira.sources import Models
from lira_runtime import sampler
from lira_runtime.bundle import Bundle
from lira_runtime.noise import initial_noise
from lira_runtime.pipeline import DenoisingStep, ImageReady, Pipeline, Request
from lira_runtime.tokenizer import ClipTokenizer

PROMPT, SEED, STEPS, GUIDANCE, SHIFT = "a red apple on a blue background", 11, 2, 3.0, 1.5


@torch.inference_mode()
def eager_latent_and_image(models: Models, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    tokenizer = ClipTokenizer.vendored()
    text, empty = (models.text_encoder(torch.from_numpy(tokenizer.encode(prompt).ids)) for prompt in (PROMPT, ""))

    def velocity(x: Tensor, sigma: float, states: Tensor) -> Tensor:
        return models.denoiser(x, torch.tensor([sigma]), states)[0]

    x = torch.from_numpy(initial_noise(SEED, shape))
    guided = sampler.guided(velocity, text, empty, GUIDANCE)
    for step in sampler.sample(guided, x, sampler.shifted_sigmas(STEPS, SHIFT), "dpm"):
        x = step.x
    return x, models.decoder(x)


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted)))
    return float(20 * np.log10(np.abs(wanted).max() / error))


def test_a_bundle_draws_what_the_eager_models_draw(bundle_folder: Path, small_models: Models) -> None:
    bundle = Bundle.open(bundle_folder)
    request = Request(PROMPT, seed=SEED, steps=STEPS, guidance=GUIDANCE, shift=SHIFT, method="dpm")
    events = list(Pipeline(bundle).generate(request))
    assert sum(isinstance(event, DenoisingStep) for event in events) == STEPS
    ready = events[-1]
    assert isinstance(ready, ImageReady)
    latent, image = eager_latent_and_image(small_models, bundle.manifest.latent_shape(64))
    assert psnr(ready.latent, latent.numpy()) >= 25
    wanted = image[0].permute(1, 2, 0).clamp(0, 1).numpy()
    assert ready.image.shape == (64, 64, 3)
    assert psnr(ready.image / 255, wanted) >= 25

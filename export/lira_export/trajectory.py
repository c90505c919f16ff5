"""Drawings by the eager denoiser, for whatever has to see what it sees: calibration, and comparisons of recipes."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lira.sources import Models
from lira_export.parity import Sample
from lira_runtime.noise import initial_noise
from lira_runtime.sampler import sample, shifted_sigmas
from lira_runtime.tokenizer import ClipTokenizer

Floats = NDArray[np.float32]


@torch.inference_mode()
def trajectory(models: Models, prompt: str, seed: int, steps: int, side: int) -> Iterator[Sample]:
    """Draw `prompt` at side x side px from the seed's noise, by the models' own sampler but without guidance.

    Yields:
        the denoiser's inputs and its velocity, once a step.
    """
    text = models.text_encoder(torch.from_numpy(ClipTokenizer.vendored().encode(prompt).ids))
    seen: list[Sample] = []

    def velocity(x: Floats, sigma: float) -> Floats:
        v = models.denoiser(torch.from_numpy(x), torch.tensor([sigma]), text)[0].numpy()
        inputs = {"latent": x, "timestep": np.array([sigma], np.float32), "text_states": text.numpy()}
        seen.append(Sample(inputs, v))
        return v

    noise = initial_noise(seed, models.kind.shape(side, side))
    for _ in sample(velocity, noise, shifted_sigmas(steps, models.sampler.shift), models.sampler.method):
        yield seen.pop()

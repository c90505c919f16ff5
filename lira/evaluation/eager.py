"""Draw with the eager model, by the runtime's sampler and from its noise, with the reasoning loop or without it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lira.checkpoint import load_tensors, read_metadata
from lira.evaluation.drawing import Artist, Options, Picture
from lira.model import LiRAModel
from lira.reasoning import CONSTANT_FILE, ConstantPlan
from lira.sources import Models, Request, checkpoint_folder, load_models
from lira.text import tokenise
from lira_runtime.errors import BadInput
from lira_runtime.image import to_pixels
from lira_runtime.noise import initial_noise
from lira_runtime.sampler import check_guidance, guided, sample, shifted_sigmas
from lira_runtime.tokenizer import ClipTokenizer

BATCH = 16


def eager_artist(checkpoint: Path, reasoning: str, options: Options) -> Artist:
    """Draws with a checkpoint, a folder or demo-turbo; reasoning: "on", or "constant" for the learned plan beside it.

    Raises BadInput when weights are missing, damaged or of another shape.
    """
    folder = checkpoint_folder(checkpoint)
    config = read_metadata(folder / "denoiser.safetensors").get("config")
    if config is None:
        raise BadInput(f"{folder / 'denoiser.safetensors'} does not say its config.")
    models = load_models(Request(config, checkpoint=folder))
    if reasoning == "constant":
        silence_reasoning(models.denoiser, folder / CONSTANT_FILE)
    if options.threads:
        torch.set_num_threads(options.threads)
    usual = models.sampler
    steps = usual.steps if options.steps is None else options.steps
    guidance = usual.guidance if options.guidance is None else options.guidance
    check_guidance(guidance)
    sigmas = shifted_sigmas(steps, usual.shift)

    def draw(prompts: Sequence[str]) -> Iterator[Picture]:
        for first in range(0, len(prompts), BATCH):
            yield from draw_batch(models, prompts[first : first + BATCH], first, sigmas, guidance)

    used = {"checkpoint": str(checkpoint), "reasoning": reasoning, "steps": steps, "guidance": guidance}
    return Artist(f"{checkpoint.name} (eager, reasoning {reasoning})", used, draw)


def silence_reasoning(denoiser: LiRAModel, path: Path) -> None:
    """Put the constant plan of the file in the place of the loop. Raises BadInput where it is missing or unfit."""
    if not path.is_file():
        raise BadInput(f"{path} does not exist: train it by `lira-train constant` and copy it there.")
    tensors, _ = load_tensors(path)
    width = denoiser.preset.reasoning_width
    if "plan" not in tensors or tensors["plan"].shape != (width,):
        raise BadInput(f"{path} must hold a tensor named plan of {width} numbers.")
    denoiser.reasoning = ConstantPlan(denoiser.reasoning, tensors["plan"].float())  # type: ignore[assignment]


@torch.inference_mode()
def draw_batch(
    models: Models, prompts: Sequence[str], first_seed: int, sigmas: list[float], guidance: float
) -> list[Picture]:
    """Pictures (H, W, 3) uint8 of the prompts, from the noise of the seeds first_seed, first_seed + 1, ..."""
    text, empty = encode(models, prompts), encode(models, [""]).expand(len(prompts), -1, -1)
    shape = models.kind.shape(models.resolution, models.resolution)
    noise = [initial_noise(first_seed + i, shape) for i in range(len(prompts))]

    def velocity(x: Tensor, sigma: float, states: Tensor) -> Tensor:
        return models.denoiser(x, torch.full((len(x),), sigma), states)[0]

    x = torch.from_numpy(np.concatenate(noise))
    for step in sample(guided(velocity, text, empty, guidance), x, sigmas, models.sampler.method):
        x = step.x
    return [to_pixels(image.numpy()) for image in models.decoder(x).split(1)]


def encode(models: Models, prompts: Sequence[str]) -> Tensor:
    """Text states (b, 77, d_text) float32."""
    return models.text_encoder(tokenise(ClipTokenizer.vendored(), prompts))

"""The inputs that real drawings give a component: for the range scan, and for scales of activations."""

from collections.abc import Iterator

import torch

from lira_export.calibration import PROMPTS, SEED
from lira_export.parity import Arrays
from lira_export.target import Job, Resolution
from lira_export.trajectory import trajectory
from lira_runtime.interface import TEXT_ENCODER
from lira_runtime.tokenizer import ClipTokenizer

MOST_STEPS = 3
"""Of each drawing; a student that draws in fewer is only run at its own times."""
DRAWN = (PROMPTS[0], "")


def real_inputs(job: Job, resolution: Resolution) -> Iterator[Arrays]:
    """Besides the parity samples': of other prompts and of drawings from them, the empty prompt among them."""
    if job.name == TEXT_ENCODER:
        tokenizer = ClipTokenizer.vendored()
        for prompt in PROMPTS:
            yield {"input_ids": tokenizer.encode(prompt).ids}
    elif resolution is not None and job.name in ("denoiser", "decoder"):
        yield from _drawn(job, resolution)


def _drawn(job: Job, resolution: int) -> Iterator[Arrays]:
    steps = min(MOST_STEPS, job.models.sampler.steps)
    for index, prompt in enumerate(DRAWN):
        for sample in trajectory(job.models, prompt, SEED + index, steps, resolution):
            if job.name == "denoiser":
                yield sample.inputs
        if job.name == "decoder":
            last, t = torch.from_numpy(sample.inputs["latent"]), float(sample.inputs["timestep"][0])
            yield {"latent": (last - t * torch.from_numpy(sample.reference)).numpy()}

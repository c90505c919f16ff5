"""Whether a graph still computes what the eager model computes, by `psnr_db` and `cosine`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lira_export.components import Component
from lira_runtime.backends.protocol import Backend
from lira_runtime.errors import ParityLost
from lira_runtime.golden import psnr_db as psnr_db
from lira_runtime.interface import IMAGE_ENCODER
from lira_runtime.manifest import Graph
from lira_runtime.tokenizer import ClipTokenizer

Arrays = dict[str, NDArray[np.generic]]
PROMPTS = ("a red apple on a blue background", "a frog left of a bicycle on a yellow background", "")
TIMES = (0.95, 0.5, 0.1)
SQUARE_SIDES = (32, 8, 1)
"""In px, for the image encoder: from large areas to pixel noise."""


GREATEST_GRAPH_ERROR = 1e-4
"""Largest difference of the float32 graph from eager, absolute, for outputs of unit scale."""


@dataclass(frozen=True)
class Sample:
    """One input of a component and what the eager model makes of it."""

    inputs: Arrays
    reference: NDArray[np.float32]


def cosine(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Cosine of the angle between two tensors as vectors; 0 where one of them is not finite or all zeros."""
    a, b = (array.astype(np.float64).ravel() for array in (found, reference))
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if np.isfinite(lengths) and lengths > 0 else 0.0


def largest(differences: Sequence[NDArray[np.float32]]) -> float:
    """Largest absolute value; NaN where there is one, unlike Python's max."""
    return float(np.max([np.abs(difference).max() for difference in differences]))


def require_float32_parity(name: str, found: Sequence[NDArray[np.float32]], samples: Sequence[Sample]) -> float:
    """Largest difference of a float32 graph's outputs from eager's. Raises ParityLost above `GREATEST_GRAPH_ERROR`."""
    error = largest([output - sample.reference for output, sample in zip(found, samples, strict=True)])
    if not error <= GREATEST_GRAPH_ERROR:
        raise ParityLost(f"{name}: the float32 graph is {error:.2e} from eager, allowed {GREATEST_GRAPH_ERROR:.0e}.")
    return error


def outputs_of(backend: Backend, graph: Graph, folder: Path, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """The graph's first output on every sample. Raises as the backend does."""
    backend.load(graph, folder)
    found = [backend.run(sample.inputs)[graph.outputs[0].name] for sample in samples]
    backend.unload()
    return found


@torch.inference_mode()
def reference_samples(
    components: Mapping[str, Component], seed: int = 0, wanted: Collection[str] | None = None
) -> dict[str, list[Sample]]:
    """Samples for the components, or those `wanted`: real prompts, latents on the way from noise, the time's ends.

    A component's samples are the same whichever others are wanted.
    """
    generator = torch.Generator().manual_seed(seed)
    tokenizer = ClipTokenizer.vendored()
    eager = {name: component.eager for name, component in components.items()}
    samples: dict[str, list[Sample]] = {name: [] for name in components if wanted is None or name in wanted}
    for prompt, t in zip(PROMPTS, TIMES, strict=True):
        latent = torch.randn(components["denoiser"].inputs[0].shape, generator=generator)
        time, ids = torch.tensor([t]), torch.from_numpy(tokenizer.encode(prompt).ids)
        text = eager["text_encoder"](ids) if samples.keys() & {"text_encoder", "denoiser"} else ids
        if "text_encoder" in samples:
            samples["text_encoder"].append(_sample({"input_ids": ids}, text))
        if "denoiser" in samples:
            inputs = {"latent": latent, "timestep": time, "text_states": text}
            samples["denoiser"].append(_sample(inputs, eager["denoiser"](latent, time, text)[0]))
        if "decoder" in samples:
            samples["decoder"].append(_sample({"latent": latent}, eager["decoder"](latent)))
    if IMAGE_ENCODER in samples:
        samples[IMAGE_ENCODER] = image_encoder_samples(components[IMAGE_ENCODER], generator)
    return samples


def _sample(inputs: Mapping[str, Tensor], output: Tensor) -> Sample:
    return Sample({name: value.numpy() for name, value in inputs.items()}, output.numpy())


@torch.inference_mode()
def image_encoder_samples(encoder: Component, generator: torch.Generator) -> list[Sample]:
    """Squares of random colours of 32, 8 and 1 px, and the eager encoder's latents of them."""
    *leading, height, width = encoder.inputs[0].shape
    samples = []
    for side in SQUARE_SIDES:
        colours = torch.rand(*leading, height // side, width // side, generator=generator)
        image = colours.repeat_interleave(side, 2).repeat_interleave(side, 3)
        samples.append(Sample({"image": image.numpy()}, encoder.eager(image).numpy()))
    return samples

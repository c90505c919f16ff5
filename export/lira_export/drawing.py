"""Whole drawings, step by step, by a bundle or by the eager model in its place, and how far they drift apart.

Both run the runtime's own pipeline: only the networks differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lira.sources import Models
from lira_export.parity import psnr_db
from lira_runtime.bundle import Bundle
from lira_runtime.image import Pixels
from lira_runtime.manifest import Graph
from lira_runtime.pipeline import DenoisingStep, ImageReady, Pipeline, Request, StageFinished
from lira_runtime.tokenizer import ClipTokenizer

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Drawing:
    """x0: the clean latent (1, C, H, W) as predicted after each step; image: uint8 (H, W, 3); stages as they ended."""

    x0: tuple[Floats, ...]
    image: Pixels
    stages: tuple[StageFinished, ...]

    @property
    def seconds(self) -> float:
        """Of all stages, loading included."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak_bytes(self) -> int:
        """Greatest resident memory of the process in any stage."""
        return max(stage.peak_bytes for stage in self.stages)


def draw(pipeline: Pipeline, request: Request) -> Drawing:
    """Draw a request, keeping what every step predicted. Raises as `Pipeline.generate` does."""
    x0, stages, image = [], [], None
    for event in pipeline.generate(request):
        if isinstance(event, DenoisingStep):
            x0.append(event.x0)
        elif isinstance(event, StageFinished):
            stages.append(event)
        elif isinstance(event, ImageReady):
            image = event.image
    assert image is not None, "the pipeline ends with ImageReady"
    return Drawing(tuple(x0), image, tuple(stages))


def drift_db(found: Drawing, reference: Drawing) -> tuple[float, ...]:
    """PSNR in dB of the predicted clean latent, after each step."""
    return tuple(psnr_db(a, b) for a, b in zip(found.x0, reference.x0, strict=True))


def picture_psnr_db(found: Pixels, reference: Pixels) -> float:
    """PSNR in dB of 8-bit pictures, against the full range of 255; infinite where they are equal."""
    error = float(np.sqrt(np.mean(np.square(found.astype(np.float64) - reference))))
    return np.inf if error == 0 else 20 * float(np.log10(255 / error))


def eager_pipeline(bundle: Bundle, models: Models, resolution: int | None = None) -> Pipeline:
    """The bundle's pipeline with the eager models in the place of its graphs, the empty prompt's states included."""
    backend = EagerBackend(models)
    states = backend.text_states(ClipTokenizer.vendored().encode("").ids)
    return Pipeline(_EagerBundle(bundle.path, bundle.manifest, bundle.digest, states), backend, resolution)


@dataclass(frozen=True, eq=False)
class _EagerBundle(Bundle):
    states: Floats

    def empty_prompt(self) -> Floats:
        return self.states


class EagerBackend:
    """A `Backend` that runs the eager models; which of them, the outputs of the graph tell."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._output = ""

    def load(self, graph: Graph, directory: Path) -> None:
        """Choose a model."""
        self._output = graph.outputs[0].name

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the chosen model."""
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        if self._output == "velocity":
            velocity, info = self._models.denoiser(tensors["latent"], tensors["timestep"], tensors["text_states"])
            return {"velocity": velocity.numpy(), "reasoning_steps": info["total_steps"].int().numpy()}
        if self._output == "text_states":
            return {"text_states": self.text_states(inputs["input_ids"])}
        if self._output == "image":
            return {"image": self._models.decoder(tensors["latent"]).numpy()}
        assert self._models.image_encoder is not None
        return {"latent": self._models.image_encoder(tensors["image"]).numpy()}

    def unload(self) -> None:
        """Choose none."""
        self._output = ""

    @torch.inference_mode()
    def text_states(self, ids: NDArray[np.int32]) -> Floats:
        """Text states (1, 77, d_text) of token ids (1, 77)."""
        return self._models.text_encoder(torch.from_numpy(ids)).numpy()

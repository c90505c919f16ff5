"""The eager models in the place of a bundle's graphs: the runtime's own pipeline, with other networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lira.sources import Models
from lira_runtime.bundle import Bundle
from lira_runtime.manifest import Graph
from lira_runtime.pipeline import Pipeline
from lira_runtime.tokenizer import ClipTokenizer

Floats = NDArray[np.float32]


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

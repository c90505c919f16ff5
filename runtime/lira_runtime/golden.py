"""Golden runs: inputs that need no file, and the part of each graph's output that a bundle stores of them.

By name of the input: input_ids are the tokens of `PROMPT`; latent is the runtime's own noise of `SEED`; timestep is
`TIME`; text_states are the bundle's states of the empty prompt, or that noise where a partial bundle has none; image is
that noise around grey, clipped to [0, 1]. Of the graph's first output, flat in C order, every k-th number is kept, with
k from `lira_runtime.interface.golden_stride`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lira_runtime.backends.protocol import Backend
from lira_runtime.interface import golden_stride
from lira_runtime.manifest import Graph
from lira_runtime.noise import initial_noise
from lira_runtime.tokenizer import ClipTokenizer

PROMPT, SEED, TIME = "a red apple on a blue background", 8, 0.5
GREY, CONTRAST = 0.5, 0.25
"""Mean and deviation of the picture before it is clipped."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GoldenInputs:
    """tokenizer: the bundle's; empty_prompt: its text states (1, 77, d_text), where it has them."""

    tokenizer: ClipTokenizer
    empty_prompt: Floats | None

    def of(self, graph: Graph) -> Mapping[str, NDArray[Any]]:
        """The graph's inputs by name."""
        return {tensor.name: self._tensor(tensor.name, tensor.shape) for tensor in graph.inputs}

    def _tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        if name == "input_ids":
            return self.tokenizer.encode(PROMPT).ids
        if name == "timestep":
            return np.full(shape, TIME, np.float32)
        if name == "text_states" and self.empty_prompt is not None:
            return self.empty_prompt
        noise = initial_noise(SEED, shape)
        return np.clip(np.float32(GREY) + np.float32(CONTRAST) * noise, 0, 1) if name == "image" else noise


def golden_output(backend: Backend, graph: Graph, folder: Path, inputs: GoldenInputs) -> Floats:
    """Run the graph in `folder` on its golden inputs; the stored part of its first output, (n,). Raises as it does."""
    backend.load(graph, folder)
    try:
        output = backend.run(inputs.of(graph))[graph.outputs[0].name]
    finally:
        backend.unload()
    return np.ascontiguousarray(output.reshape(-1)[:: golden_stride(output.size)])


def psnr_db(found: Floats, reference: Floats) -> float:
    """PSNR of `found`, in dB; infinite where they are equal, minus infinity where `found` is not finite.

    20 log10(max |reference| / RMS error): the measure of every component, format and recipe.
    """
    if not np.isfinite(found).all():
        return -np.inf
    error = float(np.sqrt(np.mean(np.square(found.astype(np.float64) - reference))))
    peak = float(np.abs(reference).max())
    return np.inf if error == 0 else 20 * float(np.log10(max(peak, 1e-30) / error))

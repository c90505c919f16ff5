"""Ranges of the Mix-FFNs' hidden layers over real trajectories, for recipes that fix their scales.

The eager model draws a few prompts from noise, without guidance, and every hidden channel's largest value is kept. The
seeds and the prompts, but for the empty one, are others than those that parity is measured on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lira.layers import MixFFN
from lira.sources import Models
from lira_export.trajectory import trajectory

PROMPTS = ("a blue fish on a green background", "a yellow star above a purple car on a grey background", "")
MOST_STEPS = 6
"""A student that draws in fewer is only run at the times that it was trained at."""
SEED = 1_000
MOST_TOKENS_A_SIDE = 32
LEAST_RANGE = 1e-3
"""A channel that is always zero still needs a scale."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HiddenRange:
    """Of one Mix-FFN: the largest |value| of fc1's output by channel (F,), and the largest of all after the ReLU."""

    expanded: Floats
    activated: float


HiddenRanges = Mapping[str, HiddenRange]
"""By the module path of the Mix-FFN."""


@torch.inference_mode()
def hidden_ranges(models: Models) -> HiddenRanges:
    """Run the eager denoiser over the calibration trajectories and return every hidden layer's range.

    Larger pictures are calibrated at a smaller size: ranges are assumed not to depend on how many tokens there are;
    parity is measured at full size.
    """
    watched = {name: _Watch(module) for name, module in models.denoiser.named_modules() if isinstance(module, MixFFN)}
    steps = min(MOST_STEPS, models.sampler.steps)
    side = min(models.resolution, MOST_TOKENS_A_SIDE * models.kind.patch_size * models.kind.scale)
    try:
        for index, prompt in enumerate(PROMPTS):
            for _ in trajectory(models, prompt, SEED + index, steps, side):
                pass
        return {name: watch.range() for name, watch in watched.items()}
    finally:
        for watch in watched.values():
            watch.stop()


class _Watch:
    """Keeps the largest values of one Mix-FFN's hidden layer while the model runs."""

    def __init__(self, ffn: MixFFN) -> None:
        width = ffn.conv.out_channels
        self._expanded, self._activated = torch.full((width,), LEAST_RANGE), torch.tensor(LEAST_RANGE)
        self._hooks = [ffn.fc1.register_forward_hook(self._see_fc1), ffn.conv.register_forward_hook(self._see_conv)]

    def _see_fc1(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._expanded = torch.maximum(self._expanded, output.abs().amax(dim=(0, 1, 2)))

    def _see_conv(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._activated = torch.maximum(self._activated, output.max())

    def range(self) -> HiddenRange:
        """What was seen."""
        return HiddenRange(self._expanded.numpy(), float(self._activated))

    def stop(self) -> None:
        """Leave the model as it was."""
        for hook in self._hooks:
            hook.remove()

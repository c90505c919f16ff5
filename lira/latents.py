"""The latent spaces that LiRA can work in (spec table: channels, scale, patch, source of the encoder)."""

import math
from dataclasses import dataclass

from lira_runtime.errors import BadInput

DECODER_STEP = 32
"""The tiny decoder's trunk starts at 1/32 of the picture, so its sides are multiples of 32 px."""


LARGEST_SIDE = 4096
"""Longest side of a picture, in px; f32 latents have 16 384 cells there."""


@dataclass(frozen=True)
class LatentKind:
    """The shape and statistics of one latent space.

    The diffusion latent is z = (h - shift) * scaling, with h the encoder's own output; z is what the denoiser sees.
    """

    name: str
    channels: int
    scale: int
    """Image px per latent cell, on each axis."""
    patch_size: int
    """Latent cells per token of the denoiser, on each axis."""
    scaling: float = 1.0
    shift: float = 0.0

    @property
    def step(self) -> int:
        """What both sides of a picture are multiples of, in px."""
        return math.lcm(self.scale * self.patch_size, DECODER_STEP)

    def shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Latent shape (1, C, H, W) of a picture of `height` x `width` px. Raises BadInput when it does not fit."""
        step = self.step
        if max(height, width) > LARGEST_SIDE:
            raise BadInput(f"{height} x {width} px is too large: a side has at most {LARGEST_SIDE} px.")
        if height < step or width < step or height % step or width % step:
            raise BadInput(f"{height} x {width} px does not fit {self.name}: both sides must be multiples of {step}.")
        return 1, self.channels, height // self.scale, width // self.scale


DEMO_SHAPE = "f8c4"
"""The shape of the demo latent, chosen by the measurement in docs/training.md."""

LATENT_KINDS: dict[str, LatentKind] = {
    "f32c32": LatentKind("f32c32", channels=32, scale=32, patch_size=1, scaling=0.41407),
    "f8c16": LatentKind("f8c16", channels=16, scale=8, patch_size=2, scaling=0.3611, shift=0.1159),
    "f8c4": LatentKind("f8c4", channels=4, scale=8, patch_size=2, scaling=0.18215),
    # Per-channel statistics travel in the weights' buffers. Patch 4 gives 64 tokens at 256 px, which a CPU can train.
    "demo": LatentKind("demo", channels=4, scale=8, patch_size=4),
}


def latent_kind(name: str) -> LatentKind:
    """Look a kind up by name. Raises BadInput, naming the choices."""
    if name not in LATENT_KINDS:
        raise BadInput(f"Unknown latent kind {name!r}: choose one of {', '.join(LATENT_KINDS)}.")
    return LATENT_KINDS[name]

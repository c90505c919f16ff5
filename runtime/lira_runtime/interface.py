"""The components of a bundle and the tensors that each reads and returns, the same for every target."""

import math
from typing import Annotated, Literal

from msgspec import Meta, Struct

COMPONENTS = ("text_encoder", "denoiser", "decoder")
"""Those that every bundle holds unless it is partial, in the order in which they run."""
TEXT_ENCODER = "text_encoder"
"""The one that does not depend on the size of the picture."""
DENOISER = "denoiser"
IMAGE_ENCODER = "image_encoder"
"""The optional fourth, for drawings that start from a picture; it runs between text encoder and denoiser."""
PROMPT_TOKENS = 77
MOST_GOLDEN_NUMBERS = 16_384
"""Of a graph's output that a bundle stores; see `lira_runtime.golden`."""

ComponentName = Literal["text_encoder", "denoiser", "decoder", "image_encoder"]
Positive = Annotated[int, Meta(ge=1)]
Dtype = Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool"]


class TensorSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A named input or output with its fixed shape."""

    name: Annotated[str, Meta(min_length=1)]
    shape: tuple[Positive, ...]
    dtype: Dtype


Interface = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
"""Inputs and outputs of one component."""


def interface(latent_shape: tuple[int, int, int, int], scale: int, d_text: int) -> dict[str, Interface]:
    """Return component -> (inputs, outputs), the image encoder's included.

    latent_shape: (1, C, H, W); scale: image px a latent px; d_text: width of a text state. Pictures are float32
    (1, 3, H scale, W scale), sRGB in [0, 1]; the decoder may leave that range a little.
    """
    _, _, height, width = latent_shape
    latent = TensorSpec(name="latent", shape=latent_shape, dtype="float32")
    image = TensorSpec(name="image", shape=(1, 3, height * scale, width * scale), dtype="float32")
    states = TensorSpec(name="text_states", shape=(1, PROMPT_TOKENS, d_text), dtype="float32")
    return {
        "text_encoder": ((TensorSpec(name="input_ids", shape=(1, PROMPT_TOKENS), dtype="int32"),), (states,)),
        "denoiser": (
            (latent, TensorSpec(name="timestep", shape=(1,), dtype="float32"), states),
            (
                TensorSpec(name="velocity", shape=latent_shape, dtype="float32"),
                TensorSpec(name="reasoning_steps", shape=(1,), dtype="int32"),
            ),
        ),
        "decoder": ((latent,), (image,)),
        IMAGE_ENCODER: ((image,), (latent,)),
    }


def golden_stride(count: int) -> int:
    """k: of an output of `count` numbers every k-th is stored.

    The least that leaves at most `MOST_GOLDEN_NUMBERS` and has no divisor in common with `count`: no column is missed.
    """
    k = max(1, math.ceil(count / MOST_GOLDEN_NUMBERS))
    while math.gcd(k, count) > 1:
        k += 1
    return k


def golden_count(output: TensorSpec) -> int:
    """How many numbers of an output are stored."""
    count = math.prod(output.shape)
    return math.ceil(count / golden_stride(count))

"""The components that every target exports: a traceable module with named inputs and outputs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lira.latents import LatentKind
from lira.sources import Models
from lira_export.rewrite.decoder import traceable_decoder
from lira_export.rewrite.denoiser import traceable_denoiser
from lira_export.rewrite.text_encoder import traceable_text_encoder
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TensorSpec, interface

DTYPES = {"float32": torch.float32, "int32": torch.int32}


@dataclass(frozen=True)
class Component:
    """One graph to be: `eager` is the reference, `traceable` its twin of the same weights with positional inputs."""

    name: str
    eager: nn.Module
    traceable: nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def example(self) -> tuple[Tensor, ...]:
        """Zero inputs of the right shapes and dtypes, for tracing."""
        return tuple(torch.zeros(spec.shape, dtype=DTYPES[spec.dtype]) for spec in self.inputs)


def build_components(
    models: Models, resolution: int, names: tuple[str, ...] = COMPONENTS, segment_sums: bool = False
) -> list[Component]:
    """The components called `names`, and the image encoder where `models` have one, which is traced as it is.

    segment_sums: as in `traceable_denoiser`.

    Raises:
        BadInput: the resolution (px) does not fit the latent's scale and patch.
    """
    kind: LatentKind = models.kind
    shape = kind.shape(resolution, resolution)
    makers = {
        "text_encoder": lambda: (models.text_encoder, traceable_text_encoder(models.text_encoder)),
        "denoiser": lambda: (models.denoiser, traceable_denoiser(models.denoiser, shape[2:], segment_sums)),
        "decoder": lambda: (models.decoder, traceable_decoder(models.decoder, shape[2:])),
    }
    specs = interface(shape, kind.scale, models.text_encoder.width)
    built = [Component(name, *makers[name](), *specs[name]) for name in COMPONENTS if name in names]
    if models.image_encoder is not None:
        built.append(Component(IMAGE_ENCODER, models.image_encoder, models.image_encoder, *specs[IMAGE_ENCODER]))
    return built

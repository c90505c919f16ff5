"""Models that have shapes and no weights: enough to predict memory, built in a second or two whatever their size."""

import torch

from lira.decoder import TinyDecoder
from lira.latents import LatentKind
from lira.layers import HyperConnection
from lira.model import LiRAModel
from lira.sources import Models, Request, load_models, names_of
from lira.text import TextEncoder
from lira_runtime.manifest import Source

NO_SOURCE = Source(digest="0" * 64, weights="seed")


def shape_models(config: str, kind: LatentKind, text_encoder: str, resolution: int) -> Models:
    """A pipeline's models on the meta device; resolution in px. Raises BadInput for unknown names."""
    with torch.device("meta"):
        text = TextEncoder(text_encoder)
        denoiser = LiRAModel(config, kind.channels, text.width, kind.patch_size)
        decoder = TinyDecoder(kind)
    # Their plan of streams is worked out from numbers: those that a hyper-connection starts with.
    for path, module in denoiser.named_modules():
        if isinstance(module, HyperConnection):
            module.matrix = HyperConnection(path.endswith("ffn_connection")).matrix
    return Models(kind, resolution, denoiser.eval(), decoder.eval(), text.eval(), NO_SOURCE)


def models_of(request: Request) -> Models:
    """The models that a request names: as they are where it names weights, their shapes alone where it names none.

    Raises BadInput as `load_models` does.
    """
    names = names_of(request)
    if names.folder is not None or request.with_encoder or request.encoder is not None:
        return load_models(request)
    return shape_models(request.config, names.kind, names.text_encoder, names.resolution)

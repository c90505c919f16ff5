"""The image encoder of an export, for drawings that start from a picture: the demo's own, or a frozen public one."""

import hashlib
from pathlib import Path

from torch import nn

from lira.encoders import load_frozen_encoder
from lira.latents import LatentKind
from lira_runtime.errors import BadInput

ENCODER_FILE = "encoder.safetensors"
"""In a folder of weights, where `lira-train` made one; exported on request only."""


def load_image_encoder(kind: LatentKind, named: str | None, stored: Path | None) -> nn.Module:
    """Picture (1, 3, H, W) in [0, 1] -> diffusion latent (1, C, h, w), in evaluation mode.

    named: what `lira.encoders.load_frozen_encoder` reads, or None for the file `stored` beside the weights, which is
    None for weights from a seed. Raises BadInput where there is no encoder or it does not fit `kind`.
    """
    if named is None and (stored is None or not stored.is_file()):
        where = "Random weights have no image encoder" if stored is None else f"{stored.parent} lacks {stored.name}"
        raise BadInput(f"{where}; name one with --encoder DIR.")
    return load_frozen_encoder(kind, named or str(stored)).eval()


def digest_with(digest: str, encoder: nn.Module) -> str:
    """SHA-256 over a digest and an encoder's tensors: one from the hub cache has no file of its own to hash."""
    total = hashlib.sha256(digest.encode())
    for name, tensor in encoder.state_dict().items():
        total.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()

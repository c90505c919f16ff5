"""The frozen image encoders, one for each latent kind: the demo's own, and DC-AE, SD3/FLUX and SD1.x through diffusers.

Nothing is ever fetched: weights come from a local directory or from what the hub cache holds already.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from lira.autoencoder import load_encoder
from lira.fits import check_loaded
from lira.latents import LatentKind
from lira_runtime.errors import BadInput

CLASSES = {"f32c32": "AutoencoderDC", "f8c16": "AutoencoderKL", "f8c4": "AutoencoderKL"}
"""diffusers' class of each kind."""
STATISTICS = {
    "f32c32": {(0.41407, 0.0)},
    "f8c16": {(0.3611, 0.1159), (1.5305, 0.0609)},  # FLUX, SD3
    "f8c4": {(0.18215, 0.0)},
}
"""(scaling, shift) of the public encoders of each kind."""
ENCODER_FILE = "encoder.safetensors"
"""In a folder of weights, where `lira-train` made one; exported on request only."""


class FrozenEncoder(nn.Module):
    """The encoder half of one of diffusers' autoencoders, with the latent's scaling and shift."""

    def __init__(
        self, encoder: nn.Module, quant_conv: nn.Module | None, kind: LatentKind, scaling: float, shift: float
    ):
        super().__init__()
        self.encoder, self.quant_conv = encoder, quant_conv
        self.kind, self.scaling, self.shift = kind, scaling, shift
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """image (b, 3, H, W), sRGB in [0, 1] -> z = (h - shift) * scaling, (b, c, H / scale, W / scale) float32."""
        hidden = self.encoder(2 * image - 1)
        if self.quant_conv is not None:
            hidden = self.quant_conv(hidden)
        # AutoencoderKL gives mean and log variance, in this order; the mean is the distribution's mode.
        return (hidden[:, : self.kind.channels].float() - self.shift) * self.scaling


def load_frozen_encoder(kind: LatentKind, source: str | Path) -> nn.Module:
    """The frozen encoder of `kind`: image (b, 3, H, W) in [0, 1] -> diffusion latent z (b, C, h, w) float32.

    Args:
        source: for the demo kind, encoder.safetensors; for the others a directory in diffusers' layout (an
            autoencoder's, or a pipeline's with vae/), or a hub repository's name, looked for in the local cache alone.

    Raises:
        BadInput: nothing there, or an encoder of another class, shape, scaling or shift.
    """
    if kind.name not in CLASSES:
        encoder = load_encoder(source)
        if encoder.kind != kind:
            raise BadInput(f"'{source}' is an encoder for {encoder.kind.name} latents, not {kind.name}.")
        return encoder.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers calls the hub's client with arguments that it calls outdated
        config, subfolder = _find_config(source)
        scaling, shift = _check_config(config, kind, source)
        model = _load_model(CLASSES[kind.name], source, subfolder)
    return FrozenEncoder(model.encoder, getattr(model, "quant_conv", None), kind, scaling, shift).float().eval()


def _find_config(source: str | Path) -> tuple[dict[str, Any], str | None]:
    from diffusers import AutoencoderKL

    for subfolder in (None, "vae"):
        try:
            return dict(AutoencoderKL.load_config(str(source), subfolder=subfolder, local_files_only=True)), subfolder
        except (OSError, ValueError):
            continue
    raise BadInput(f"No autoencoder at '{source}': neither a directory of diffusers' layout nor in the hub cache.")


def _check_config(config: dict[str, Any], kind: LatentKind, source: str | Path) -> tuple[float, float]:
    """Scaling and shift that the configuration gives, or else the kind's. Raises BadInput where anything is unfit."""
    wanted = CLASSES[kind.name]
    if config.get("_class_name") != wanted:
        raise BadInput(f"'{source}' is {config.get('_class_name')}, {kind.name} latents come from {wanted}.")
    channels = config.get("latent_channels")
    if channels != kind.channels:
        raise BadInput(f"'{source}' has {channels} latent channels, {kind.name} has {kind.channels}.")
    widths = config.get("encoder_block_out_channels") or config.get("block_out_channels") or ()
    if 2 ** (len(widths) - 1) != kind.scale:
        raise BadInput(f"'{source}' has {len(widths)} levels, {kind.name} latents are 1/{kind.scale} of the picture.")
    scaling, shift = config.get("scaling_factor") or kind.scaling, config.get("shift_factor")
    shift = (kind.shift if "scaling_factor" not in config else 0.0) if shift is None else shift
    if (scaling, shift) not in STATISTICS[kind.name]:
        known = " or ".join(f"{s} and {m}" for s, m in sorted(STATISTICS[kind.name]))
        raise BadInput(f"'{source}' has scaling {scaling} and shift {shift}; {kind.name} latents have {known}.")
    return scaling, shift


def _load_model(class_name: str, source: str | Path, subfolder: str | None) -> Any:
    import diffusers

    try:
        model, info = getattr(diffusers, class_name).from_pretrained(
            str(source),
            subfolder=subfolder,
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=False,  # or it cannot say which shapes differ
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"No weights could be loaded from '{source}': {reason} Only safetensors is read.", "weights_missing"
        ) from error
    check_loaded(model, info, f"'{source}'", ("encoder.", "quant_conv."))
    return model


def load_image_encoder(kind: LatentKind, named: str | None, stored: Path | None) -> nn.Module:
    """Picture (1, 3, H, W) in [0, 1] -> diffusion latent (1, C, h, w), in evaluation mode.

    named: what `load_frozen_encoder` reads, or None for the file `stored` beside the weights, which is
    None for weights from a seed. Raises BadInput where there is no encoder or it does not fit `kind`.
    """
    if named is None and (stored is None or not stored.is_file()):
        where = "Random weights have no image encoder" if stored is None else f"{stored.parent} lacks {stored.name}"
        raise BadInput(f"{where}; name one with --encoder DIR.")
    return load_frozen_encoder(kind, named or str(stored)).eval()

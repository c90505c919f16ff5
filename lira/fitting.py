"""A denoiser's weights, and the preset that they are of where it is another than was named."""

from pathlib import Path

import torch

from lira.checkpoint import load_module, shapes_of
from lira.model import LiRAModel
from lira.presets import PRESETS
from lira_runtime.errors import BadInput


def fill_denoiser(denoiser: LiRAModel, path: Path) -> dict[str, str]:
    """Fill a denoiser from a file and return the metadata.

    Raises BadInput as `load_module` does, and names the preset that the file's shapes are those of, where there is one.
    """
    try:
        return load_module(denoiser, path)
    except BadInput as error:
        preset = fitting_preset(path, denoiser) if error.code == "weights_differ" else None
        if preset is None or preset == denoiser.preset.name:
            raise
        hint = f"{str(error).removesuffix('.')}; its shapes are those of --config {preset}."
        raise BadInput(hint, error.code) from error


def fitting_preset(path: Path, denoiser: LiRAModel) -> str | None:
    """The preset whose denoiser, of the same latent and text width, has the names and shapes in a file of weights."""
    found = shapes_of(path)
    for name in PRESETS:
        with torch.device("meta"):
            other = LiRAModel(name, denoiser.in_channels, denoiser.d_text, denoiser.patch_size)
        if {key: tuple(value.shape) for key, value in other.state_dict().items()} == found:
            return name
    return None

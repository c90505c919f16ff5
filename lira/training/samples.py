"""Sheets of drawings as training goes on: the same prompts from the same noise, by the averaged weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lira.checkpoint import load_module
from lira.decoder import TinyDecoder
from lira.latents import LatentKind
from lira.model import LiRAModel
from lira.training.batches import Encoded
from lira.training.grid import save_grid
from lira_runtime.sampler import guided, sample, shifted_sigmas

COLUMNS = 4
STEPS, SHIFT, GUIDANCE = 14, 1.0, 3.0


@dataclass(frozen=True)
class Sheets:
    """Draws sheets into `folder`, decoded by `decoder`."""

    decoder: TinyDecoder
    folder: Path

    @torch.inference_mode()
    def draw(self, model: LiRAModel, weights: Mapping[str, Tensor], data: Encoded, step: int) -> None:
        """Write step-NNNNNN.png: the prompts of the data's first 16 samples, four to a row, full rows if there is one.

        model: of the shape of `weights`, which are drawn with; it is left as it is.
        """
        device = next(iter(weights.values())).device
        drawer = LiRAModel(model.preset.name, model.in_channels, model.d_text, model.patch_size).to(device).eval()
        drawer.load_state_dict(dict(weights))
        text = torch.stack([data.read(index)[1] for index in range(min(COLUMNS**2, len(data)))]).to(device)
        shape = data.kind.shape(data.size, data.size)[1:]
        noise = torch.randn(len(text), *shape, generator=torch.Generator().manual_seed(0)).to(device)

        def velocity(x: Tensor, sigma: float, text: Tensor) -> Tensor:
            return drawer(x, torch.full((len(x),), sigma, device=device), text)[0]

        empty = data.empty_state.to(device).expand_as(text)
        steps = sample(guided(velocity, text, empty, GUIDANCE), noise, shifted_sigmas(STEPS, SHIFT))
        latent = [step.x for step in steps][-1].cpu()
        pictures = torch.cat([self.decoder(one) for one in latent.split(1)]).clamp(0, 1)
        rows = pictures[: len(pictures) // COLUMNS * COLUMNS or len(pictures)].split(COLUMNS)
        self.folder.mkdir(exist_ok=True)
        save_grid(rows, self.folder / f"step-{step:06d}.png")


def open_sheets(decoder: Path, kind: LatentKind, out: Path) -> Sheets:
    """Sheets in out/samples by the decoder's weights file. Raises BadInput when it is none of this latent kind."""
    module = TinyDecoder(kind)
    load_module(module, decoder)
    return Sheets(module.eval(), out / "samples")

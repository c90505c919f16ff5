"""What a step of the denoiser's training sees: a function of the recipe, the data and the step alone.

Times, dropped captions and a seed of each sample's noise come from one generator of (seed, step), for the global
batch; every process then reads and draws its own part. So the number of processes changes nothing, and neither does an
interruption. A GPU that holds the data draws the noise itself: there the same holds, but the noise is another.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lira.checkpoint import read_metadata
from lira.data.stream import Description, Stream
from lira.latents import LatentKind
from lira.model import LiRAModel
from lira.training.ahead import ahead
from lira.training.recipe import Recipe, Stage
from lira.training.resident import ResidentData, gather
from lira_runtime.errors import BadInput


class Encoded(Protocol):
    """Encoded samples, read at random; `lira.data.stream.EncodedData` and `lira.data.synthetic` are."""

    kind: LatentKind
    size: int
    """Side of the pictures, in px."""
    d_text: int
    description: Description
    empty_state: Tensor
    """(M, d_text)."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Latent (C, h, w) and text states (M, d_text), float32."""


@dataclass(frozen=True)
class Batch:
    """z_0 and eps (b, C, h, w), text states (b, M, d_text), times t (b,); float32."""

    z_0: Tensor
    text: Tensor
    t: Tensor
    eps: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(self.z_0.to(device), self.text.to(device), self.t.to(device), self.eps.to(device))


class Batches:
    """The batches of a recipe's steps, this process's part of each.

    Args:
        data: one for each stage. share: the part of each stage's global batch that is this process's.

    Raises:
        BadInput: data of another latent kind, text width or size than its stage's, or stages of different encoders.
    """

    def __init__(self, recipe: Recipe, data: Sequence[Encoded], shares: Sequence[slice]) -> None:
        for number, (stage, encoded) in enumerate(zip(recipe.stages, data, strict=True), 1):
            _check(number, stage, encoded, recipe.model.latent, data[0])
        self._recipe = recipe
        self._stages = {
            stage: (encoded, Stream(encoded, recipe.run.seed), share)
            for stage, encoded, share in zip(recipe.stages, data, shares, strict=True)
        }

    def data_at(self, step: int) -> Encoded:
        """The data of the stage of step `step`, from 0."""
        return self._stages[self._recipe.stage_at(step)[0]][0]

    def draw(self, step: int) -> Batch:
        """The batch of step `step`, from 0."""
        recipe = self._recipe
        stage, within = recipe.stage_at(step)
        data, stream, share = self._stages[stage]
        generator = _generator(recipe.run.seed, step)
        t = recipe.times.at(step).sample(stage.batch, generator)[share]
        dropped = (torch.rand(stage.batch, generator=generator) < recipe.objective.caption_dropout)[share]
        noise_seeds = torch.randint(2**62, (stage.batch,), generator=generator)[share]
        indices = stream.indices(within * stage.batch + share.start, share.stop - share.start)
        z_0, text = gather(data, indices)
        empty = data.empty_state.float().to(text.device)
        text = torch.where(dropped.to(text.device)[:, None, None], empty, text)
        if isinstance(data, ResidentData):
            eps = _device_noise(data, (recipe.run.seed, step), stage.batch)[share]
        else:
            eps = torch.stack([_noise(z_0.shape[1:], int(seed)) for seed in noise_seeds])
        return Batch(z_0, text, t, eps)

    def ahead(self, first: int) -> Generator[Batch, None, None]:
        """The batches of the steps from `first` on, each read while the one before is used."""
        return ahead(self.draw, first)


def check_network(network: LiRAModel, data: Encoded, weights: Path) -> None:
    """Raise BadInput, naming `weights`, where its network works on other latents or text states than the data holds.

    Weights that do not tell the encoders of their training data are judged by their shape alone.
    """
    check_shape(network, data, weights)
    if stranger := trained_elsewhere(weights, data):
        raise BadInput(stranger)


def check_shape(network: LiRAModel, data: Encoded, weights: Path) -> None:
    """Raise BadInput, naming `weights`, where the data's latents or text states are of another shape than its own."""
    held = (data.kind.channels, data.kind.patch_size, data.d_text)
    if (network.in_channels, network.patch_size, network.d_text) != held:
        raise BadInput(f"{weights} draws other latents, or from other text states, than the data holds.")


def trained_elsewhere(weights: Path, data: Encoded) -> str | None:
    """A sentence that says so, where both tell their encoders and `weights` was trained on those of others."""
    other = _other_encoder(read_metadata(weights), encoders_of(data))
    return other and f"{weights} was trained on the latents and texts of another {other} than the data."


def encoders_of(data: Encoded) -> dict[str, str]:
    """SHA-256 of the weights of both encoders, as a denoiser's metadata tells them; what is not known is left out."""
    digests = {"encoder": data.description.encoder, "text_encoder": data.description.text_encoder}
    return {name: digest for name, digest in digests.items() if digest}


def _other_encoder(one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """Which encoder, if any, both know and disagree about."""
    names = {"encoder": "image encoder", "text_encoder": "text encoder"}
    return next((what for key, what in names.items() if key in one and one[key] != other.get(key, one[key])), None)


def _generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    mixed = int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(mixed >> 1)


def _noise(shape: Sequence[int], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _device_noise(data: ResidentData, seed: tuple[int, int], count: int) -> Tensor:
    """The noise of a whole global batch, drawn on the data's device: one call there, where a CPU makes one a sample."""
    generator = _generator(*seed, device=data.device)
    shape = data.kind.shape(data.size, data.size)[1:]
    return torch.randn(count, *shape, generator=generator, device=data.device)


def _check(number: int, stage: Stage, data: Encoded, latent: str, first: Encoded) -> None:
    where = f"Stage {number} trains"
    if data.kind.name != latent:
        raise BadInput(f"{where} {latent} latents, but its data holds {data.kind.name}.")
    if data.size != stage.resolution:
        raise BadInput(f"{where} at {stage.resolution} px, but its data holds pictures of {data.size} px.")
    if data.d_text != first.d_text:
        raise BadInput(f"{where} on text states of width {data.d_text}, the first stage on {first.d_text}.")
    if other := _other_encoder(encoders_of(data), encoders_of(first)):
        raise BadInput(f"{where} on data of another {other} than the first stage.")

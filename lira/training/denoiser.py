"""Train a denoiser by flow matching on packed latents and captions, with a frozen text encoder."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lira.checkpoint import save_module
from lira.flow import TimeDistribution, halting_loss, noised, velocity_loss
from lira.model import LiRAModel
from lira.text import TOKENS, TextEncoder
from lira.training.loop import STATE_NAME, Ema, LoopSettings, TrainingState, optimise, training_clock
from lira_runtime.errors import BadInput
from lira_runtime.progress import Progress
from lira_runtime.tokenizer import ClipTokenizer


@dataclass(frozen=True)
class Recipe:
    """Settings of the optimisation."""

    batch: int = 128
    peak_rate: float = 1e-3
    warmup_steps: int = 200
    ema_decay: float = 0.999
    caption_dropout: float = 0.1
    halting_weight: float = 0.01
    halt_probability: float = 0.4
    """Of the geometric prior over reasoning steps."""
    times: TimeDistribution = field(default_factory=lambda: TimeDistribution(mu=-1.5, b=1.5, uniform_share=0.2))


@dataclass(frozen=True)
class Batch:
    """z_0 (B, C, h, w) float32 and text states (B, M, d_text)."""

    z_0: Tensor
    text: Tensor


@dataclass(frozen=True)
class PackedScenes:
    """Latents (N, C, h, w) with the text states of their captions, stored once for each distinct caption."""

    latents: NDArray[np.float16]
    states: Tensor
    caption_of: NDArray[np.int64]
    empty_state: Tensor

    def batches(self, batch: int, caption_dropout: float, seed: int) -> Iterator[Batch]:
        """Endless batches in a new order every epoch; a share of the captions is replaced by the empty one.

        Raises BadInput when there are fewer scenes than a batch takes.
        """
        if len(self.latents) < batch:
            raise BadInput(f"The data holds {len(self.latents)} scenes, fewer than one batch of {batch}.")
        return self._batches(batch, caption_dropout, seed)

    def _batches(self, batch: int, caption_dropout: float, seed: int) -> Iterator[Batch]:
        rng = np.random.default_rng(seed)
        while True:
            order = rng.permutation(len(self.latents))
            for first in range(0, len(order) - batch + 1, batch):
                index = order[first : first + batch]
                text = self.states[torch.from_numpy(self.caption_of[index])].float()
                text[torch.from_numpy(rng.random(batch) < caption_dropout)] = self.empty_state.float()
                yield Batch(torch.from_numpy(self.latents[index].astype(np.float32)), text)


@torch.inference_mode()
def pack_scenes(
    latents: NDArray[np.float16], captions: list[str], encoder: TextEncoder, tokenizer: ClipTokenizer, batch: int = 64
) -> PackedScenes:
    """Encode every distinct caption once, and the empty one; states are kept as float16."""
    distinct = sorted(set(captions))
    index = {caption: i for i, caption in enumerate(distinct)}
    states = torch.empty(len(distinct) + 1, TOKENS, encoder.width, dtype=torch.float16)
    with Progress(len(states), "encode captions") as progress, torch.autocast("cpu", torch.bfloat16):
        for first in range(0, len(states), batch):
            some = [*distinct, ""][first : first + batch]
            ids = np.concatenate([tokenizer.encode(caption).ids for caption in some])
            states[first : first + len(some)] = encoder(torch.from_numpy(ids)).half()
            progress.advance(len(some))
    caption_of = np.array([index[caption] for caption in captions])
    return PackedScenes(latents, states[:-1], caption_of, states[-1])


def new_state(config_name: str, in_channels: int, d_text: int, patch_size: int, recipe: Recipe) -> TrainingState:
    """A fresh denoiser, its optimiser and EMA."""
    model = LiRAModel(config_name, in_channels, d_text, patch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.peak_rate, weight_decay=0.01, betas=(0.9, 0.98))
    settings = {"config": config_name, "in_channels": str(in_channels), "d_text": str(d_text)}
    return TrainingState(model, optimizer, Ema(model, recipe.ema_decay), settings=settings)


def training_loss(model: torch.nn.Module, batch: Batch, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Loss to minimise and, of it, the velocity's mean squared error; both scalars."""
    t, eps = recipe.times.sample(len(batch.z_0)), torch.randn_like(batch.z_0)
    with torch.autocast("cpu", torch.bfloat16):
        v, info = model(noised(batch.z_0, eps, t), t, batch.text)
    velocity = velocity_loss(v, batch.z_0, eps).mean()
    halting = halting_loss(info["halting"].float(), recipe.halt_probability).mean()
    return velocity + recipe.halting_weight * halting, velocity


def train(
    state: TrainingState,
    batches: Iterator[Batch],
    recipe: Recipe,
    settings: LoopSettings,
    out: Path,
    compiled: bool = False,
) -> float:
    """Train until the budget is spent; the weights (float16, EMA) go to out/denoiser.safetensors. Returns the loss."""
    state.model.train()
    model: torch.nn.Module = torch.compile(state.model) if compiled else state.model  # type: ignore[assignment]
    recent: list[float] = []
    for progress, log in training_clock(state, settings, out / STATE_NAME):
        loss, velocity = training_loss(model, next(batches), recipe)
        norm = optimise(state, loss, recipe.peak_rate, progress, recipe.warmup_steps)
        recent = [*recent[-99:], velocity.item()]
        if log:
            mean = sum(recent) / len(recent)
            print(f"step {state.step:6d}  {state.seconds:6.0f} s  velocity {mean:.4f}  norm {norm:.2f}", flush=True)
    save_weights(state, out / "denoiser.safetensors")
    return sum(recent) / max(1, len(recent))


def save_weights(state: TrainingState, path: Path) -> None:
    """Write the EMA weights as float16, with what is needed to build the model in the metadata."""
    model = state.model
    assert isinstance(model, LiRAModel)
    averaged = LiRAModel(model.preset.name, model.in_channels, model.d_text, model.patch_size)
    averaged.load_state_dict(state.ema.shadow)
    save_module(averaged, path, torch.float16, {**state.settings, "patch_size": str(model.patch_size)})

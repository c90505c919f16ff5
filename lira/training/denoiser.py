"""Train a denoiser by flow matching on encoded data, as a recipe says."""

import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lira.checkpoint import load_module, save_module
from lira.data.stream import EncodedData
from lira.flow import halting_loss, noised, velocity_loss
from lira.latents import latent_kind
from lira.model import LiRAModel
from lira.training.batches import Batch, Batches, Encoded, check_shape, encoders_of, trained_elsewhere
from lira.training.launch import Processes
from lira.training.loop import STATE_NAME, adamw, begin, mean_over_processes, optimise, training_steps
from lira.training.recipe import Objective, Recipe
from lira.training.resident import kept_on
from lira.training.samples import Sheets, open_sheets
from lira.training.state import Ema, TrainingState
from lira.training.watch import View, Watch
from lira_runtime.errors import BadInput

WEIGHTS_NAME = "denoiser.safetensors"


def new_state(recipe: Recipe, d_text: int) -> TrainingState:
    """A fresh denoiser for text states of width `d_text`, its optimiser and EMA; the same for the same seed."""
    kind = latent_kind(recipe.model.latent)
    torch.manual_seed(recipe.run.seed)
    model = LiRAModel(recipe.model.preset, kind.channels, d_text, kind.patch_size)
    settings = {"config": recipe.model.preset, "in_channels": str(kind.channels), "d_text": str(d_text)}
    ema = Ema(model, recipe.optimiser.ema_decay)
    return TrainingState(model, adamw(model, recipe.optimiser), ema, settings=settings, recipe=recipe.json())


def training_loss(model: nn.Module, batch: Batch, objective: Objective, bf16: bool) -> tuple[Tensor, Tensor]:
    """Loss to minimise and, of it, the velocity's mean squared error; both scalars."""
    with torch.autocast(batch.z_0.device.type, torch.bfloat16, enabled=bf16):
        v, info = model(noised(batch.z_0, batch.eps, batch.t), batch.t, batch.text)
    velocity = velocity_loss(v, batch.z_0, batch.eps).mean()
    halting = halting_loss(info["halting"].float(), objective.halt_probability).mean()
    return velocity + objective.halting_weight * halting, velocity


def train(
    state: TrainingState,
    model: nn.Module,
    recipe: Recipe,
    batches: Batches,
    out: Path,
    watch: Watch | None = None,
    sheets: Sheets | None = None,
) -> float:
    """Train to the recipe's last step; the weights (float16, EMA) go to out/denoiser.safetensors.

    Args:
        state: fresh, or moved on by a run in `out`. model: its network, as `Processes.prepare` wrapped it.

    Returns:
        Mean velocity loss of the last 100 steps.
    """
    model.train()
    device = next(state.model.parameters()).device
    coming, recent = batches.ahead(state.step), deque[float](maxlen=100)
    with contextlib.closing(coming):
        for step in training_steps(state, recipe.steps, out / STATE_NAME, recipe.run.save_every):
            loss, velocity = training_loss(model, next(coming).to(device), recipe.objective, recipe.run.bf16)
            if optimise(state, loss, recipe.optimiser, recipe.steps) is None:
                break
            mean_loss, mean_velocity = mean_over_processes(torch.stack([loss, velocity]), state.rank)
            recent.append(mean_velocity)
            if watch:
                watch.record(state, {"loss": mean_loss, "velocity": mean_velocity}, recipe.stage_at(step)[0].batch)
            if sheets and recipe.run.sample_every and state.step % recipe.run.sample_every == 0:
                _draw(state, sheets, batches.data_at(step))
    save_weights(state, out / WEIGHTS_NAME)
    return sum(recent) / max(1, len(recent))


def _start_with(state: TrainingState, weights: Path, data: Encoded) -> None:
    """Fill a network that nothing is averaged of yet. Raises BadInput where the weights do not fit it or the data.

    That they were made for other encoders is told: the network learns the new ones.
    """
    assert isinstance(state.model, LiRAModel)
    load_module(state.model, weights)
    check_shape(state.model, data, weights)
    if stranger := trained_elsewhere(weights, data):
        state.notes += (stranger,)


def _draw(state: TrainingState, sheets: Sheets, data: Encoded) -> None:
    averaged = state.averaged()
    assert isinstance(state.model, LiRAModel)
    if state.rank.index == 0:
        sheets.draw(state.model, averaged, data, state.step)


def save_weights(state: TrainingState, path: Path) -> None:
    """Write the EMA weights as float16, with what is needed to build the model in the metadata."""
    model, averaged = state.model, state.averaged()
    assert isinstance(model, LiRAModel)
    if state.rank.index == 0:
        copy = LiRAModel(model.preset.name, model.in_channels, model.d_text, model.patch_size)
        copy.load_state_dict(averaged)
        save_module(copy, path, torch.float16, {**state.settings, "patch_size": str(model.patch_size)})


def open_data(recipe: Recipe, cache: Path | None = None, json: bool = False) -> list[EncodedData]:
    """The encoded folder of each stage; see `EncodedData`. Raises BadInput when one is missing or damaged."""
    if not recipe.data:
        raise BadInput("The recipe names no data: give --data FOLDER.")
    folders = [f"{recipe.data}/{stage.data}" if stage.data else recipe.data for stage in recipe.stages]
    return [EncodedData(folder, cache, json) for folder in folders]


def run(
    recipe: Recipe,
    data: Sequence[Encoded],
    out: Path,
    resume: bool,
    view: View = View(),  # noqa: B008
    start: Path | None = None,
) -> float:
    """Train as the recipe says, in `out`; every process of a launcher calls it. Returns what `train` does.

    A fresh run begins with the weights of `start`, where that is given. Raises BadInput for weights or data that do not
    fit the recipe, a batch that the processes cannot share, a state of another network, or when `out` holds a run and
    `resume` is not given.
    """
    processes = Processes()
    data = [kept_on(processes.device, encoded, view.json) for encoded in data]
    batches = Batches(recipe, data, [processes.share(stage.batch) for stage in recipe.stages])
    state = new_state(recipe, data[0].d_text)
    state.settings |= encoders_of(data[0])
    if start is not None and not (out / STATE_NAME).exists():
        _start_with(state, start, data[0])
    model = processes.prepare(state)
    kind = latent_kind(recipe.model.latent)
    sheets = open_sheets(view.decoder, kind, out) if view.decoder else None
    begin(state, out, resume, recipe.steps)
    if state.rank.index:
        return train(state, model, recipe, batches, out, sheets=sheets)
    with Watch(out, state, recipe.steps, recipe.run.log_every, view) as watch:
        return train(state, model, recipe, batches, out, watch, sheets)

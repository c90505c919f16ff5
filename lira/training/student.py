"""Distil a trained denoiser into one that draws in a few steps of one pass each, with guidance folded in.

The student is the same network and starts from the teacher's weights. It learns the chords of the teacher's guided
drawings (`lira.training.trajectories`) by regression: no adversary, and no second network in the loop. It runs as at
inference, its reasoning loop halting by the teacher's gates, which stay as they are.
"""

from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from torch import Tensor, nn

from lira.checkpoint import save_module, weights_digest
from lira.data.stream import Stream
from lira.model import LiRAModel, load_denoiser
from lira.training.batches import Encoded, check_network, encoders_of
from lira.training.denoiser import WEIGHTS_NAME
from lira.training.launch import single_device
from lira.training.loop import STATE_NAME, adamw, begin, check_start, optimise, training_steps
from lira.training.recipe import Count, Optimiser, Run, check_warmup
from lira.training.resident import kept_on
from lira.training.state import Ema, TrainingState
from lira.training.trajectories import Chords, Levels, Teacher, Teaching, Trajectories, draw_trajectories
from lira.training.watch import View, Watch
from lira_runtime.manifest import SamplerDefaults

TRAJECTORIES = "trajectories"


class StudentRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a student, but its teacher and the data."""

    steps: Count
    batch: Count
    """Chords a step."""
    sampler: Levels
    teacher: Teaching
    optimiser: Optimiser
    run: Run

    def __post_init__(self) -> None:
        check_warmup(self.optimiser, self.steps)


def chord_loss(v: Tensor, velocity: Tensor) -> Tensor:
    """Mean squared error (b,) of each chord; both (b, C, h, w)."""
    return (v.float() - velocity).square().flatten(1).mean(1)


def new_state(network: LiRAModel, digest: str, recipe: StudentRecipe) -> TrainingState:
    """A student that is still its teacher, with its optimiser and EMA."""
    student = network.requires_grad_(True)
    student.reasoning.stop.requires_grad_(False)
    settings = {"config": network.preset.name, "in_channels": str(network.in_channels), "d_text": str(network.d_text)}
    settings |= {"patch_size": str(network.patch_size), "teacher": digest}
    ema = Ema(student, recipe.optimiser.ema_decay)
    text = msgspec.json.encode(recipe).decode()
    return TrainingState(student, adamw(student, recipe.optimiser), ema, settings=settings, recipe=text)


def student_loss(model: nn.Module, chords: Chords, bf16: bool) -> Tensor:
    """Scalar loss of a batch of chords."""
    with torch.autocast(chords.x.device.type, torch.bfloat16, enabled=bf16):
        v = model(chords.x, chords.t, chords.text)[0]
    return chord_loss(v, chords.velocity).mean()


def train(state: TrainingState, trajectories: Trajectories, recipe: StudentRecipe, out: Path, watch: Watch) -> None:
    """Train to the recipe's last step; the student's weights (EMA) go to out/denoiser.safetensors."""
    state.model.eval()
    device = next(state.model.parameters()).device
    stream, batch = Stream(trajectories, recipe.run.seed), recipe.batch
    for step in training_steps(state, recipe.steps, out / STATE_NAME, recipe.run.save_every):
        chords = trajectories.read(stream.indices(step * batch, batch)).to(device)
        loss = student_loss(state.model, chords, recipe.run.bf16)
        if optimise(state, loss, recipe.optimiser, recipe.steps) is None:
            break
        watch.record(state, {"loss": loss.item()}, batch)
    save_student(state, recipe, out / WEIGHTS_NAME)


def save_student(state: TrainingState, recipe: StudentRecipe, path: Path) -> None:
    """Write the EMA weights, with what builds the network and the sampler that it is made for in the metadata.

    Float16, but the AdaLN matrices of the blocks, two fifths of nano, as int8 rows: 14.1 MB instead of 17.7.
    """
    model = state.model
    assert isinstance(model, LiRAModel)
    copy = LiRAModel(model.preset.name, model.in_channels, model.d_text, model.patch_size)
    copy.load_state_dict(state.averaged())
    levels = recipe.sampler
    sampler = SamplerDefaults(method="euler", steps=levels.steps, shift=levels.shift, guidance=1.0)
    metadata = {**state.settings, "sampler": msgspec.json.encode(sampler).decode()}
    rows = [f"blocks.{index}.modulation.weight" for index in range(model.preset.blocks)]
    save_module(copy, path, torch.float16, metadata, rows)


def run(weights: Path, data: Encoded, recipe: StudentRecipe, out: Path, resume: bool, view: View) -> None:
    """Draw the teacher's trajectories, or what is missing of them, into `out`, and train the student there.

    One process, one device. Raises BadInput for several processes, when teacher and data do not fit, for trajectories
    of another teacher or other data, or when `out` holds a run and `resume` is not given.
    """
    device = single_device("The student")
    check_start(out, resume)
    network = load_denoiser(weights).to(device)
    digest = weights_digest(network)
    check_network(network, data, weights)
    teacher = Teacher(network, digest, recipe.sampler, recipe.teacher, recipe.run.bf16)
    data = kept_on(device, data, view.json)
    trajectories = draw_trajectories(out / TRAJECTORIES, teacher, data, recipe.run.seed, view.json)
    state = new_state(network, digest, recipe)
    state.settings |= encoders_of(data)
    begin(state, out, resume, recipe.steps)
    with Watch(out, state, recipe.steps, recipe.run.log_every, view) as watch:
        train(state, trajectories, recipe, out, watch)

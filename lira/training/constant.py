"""Learn the one plan that can best stand for the reasoning loop: what the loop is worth beyond a constant is then seen.

Every other weight is frozen. Loss, times and dropped captions are those of the denoiser's own training, as at its end.
The plan starts from the mean of the loop's plans.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from msgspec import structs
from torch import Tensor, nn

from lira.checkpoint import save_tensors, weights_digest
from lira.flow import noised, velocity_loss
from lira.model import LiRAModel, load_denoiser
from lira.reasoning import CONSTANT_FILE, ConstantPlan, ReasoningLoop
from lira.training.batches import Batch, Batches, Encoded, check_network
from lira.training.launch import single_device
from lira.training.loop import STATE_NAME, adamw, begin, optimise, training_steps
from lira.training.recipe import Optimiser, Recipe
from lira.training.state import Ema, TrainingState
from lira.training.watch import View, Watch
from lira_runtime.errors import BadInput

OPTIMISER = Optimiser(rate=0.02, weight_decay=0.0, warmup_steps=10, ema_decay=0.95)
START_BATCHES, CHECK_BATCHES = 4, 8
NOT_HEEDED = (
    *("optimiser", "optimiser.*", "stages.*.steps", "times.mu_start", "times.curriculum_steps", "model.preset"),
    *("objective.halting_weight", "objective.halt_probability", "run.sample_every", "data"),
)
"""What the denoiser's recipe says of the rest of its training."""


@dataclass(frozen=True)
class Comparison:
    """Mean velocity loss over the same samples, times and noise; not one of these triples was trained on."""

    loop: float
    constant: float


def constant_recipe(recipe: Recipe, steps: int) -> Recipe:
    """The end of a denoiser's recipe, as `steps` steps of the plan alone; its warm-up is shorter than they are."""
    stage = structs.replace(recipe.stages[-1], steps=steps)
    times = structs.replace(recipe.times, curriculum_steps=0)
    optimiser = structs.replace(OPTIMISER, warmup_steps=min(OPTIMISER.warmup_steps, steps - 1))
    return structs.replace(recipe, stages=(stage,), times=times, optimiser=optimiser)


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise BadInput for an override of the denoiser's recipe that `constant_recipe` and `run` would not heed."""
    for override in overrides:
        name = override.partition("=")[0]
        if any(fnmatchcase(name, pattern) for pattern in NOT_HEEDED):
            raise BadInput(f"--set {name}: the training of the constant does not heed it; leave it out.")


def constant_loss(network: LiRAModel, batch: Batch, bf16: bool) -> Tensor:
    """Mean squared error of the velocity, a scalar."""
    with torch.autocast(batch.z_0.device.type, torch.bfloat16, enabled=bf16):
        v = network(noised(batch.z_0, batch.eps, batch.t), batch.t, batch.text)[0]
    return velocity_loss(v, batch.z_0, batch.eps).mean()


@torch.no_grad()
def mean_plan(network: LiRAModel, batches: list[Batch]) -> Tensor:
    """Mean (w,) of the plans at which the loop halts; the batches lie where the network does."""
    plans: list[Tensor] = []
    seen = network.reasoning.register_forward_hook(lambda loop, inputs, reasoned: plans.append(reasoned.plan.float()))
    try:
        for batch in batches:
            network(noised(batch.z_0, batch.eps, batch.t), batch.t, batch.text)
    finally:
        seen.remove()
    return torch.cat(plans).mean(0)


def run(weights: Path, recipe: Recipe, data: Encoded, out: Path, resume: bool, view: View) -> Comparison:
    """Train the plan of `weights` as `constant_recipe` says and write out/reasoning_constant.safetensors.

    One process, one device. Raises BadInput for several processes, for weights or data that do not fit, or when `out`
    holds a run and `resume` is not given.
    """
    device = single_device("The constant")
    batches = Batches(recipe, [data], [slice(0, recipe.stages[0].batch)])
    network, end = load_denoiser(weights).requires_grad_(False).to(device), recipe.steps
    check_network(network, data, weights)
    loop = network.reasoning
    plan = mean_plan(network, [batches.draw(end + index).to(device) for index in range(START_BATCHES)])
    state = _new_state(loop, plan, weights_digest(network), recipe)
    begin(state, out, resume, end)
    network.register_module("reasoning", state.model)
    watched = Watch(out, state, end, recipe.run.log_every, view)
    with watched as watch, contextlib.closing(batches.ahead(state.step)) as coming:
        for _ in training_steps(state, end, out / STATE_NAME, recipe.run.save_every):
            loss = constant_loss(network, next(coming).to(device), recipe.run.bf16)
            if optimise(state, loss, recipe.optimiser, end) is None:
                break
            watch.record(state, {"loss": loss.item()}, recipe.stages[0].batch)
        state.model.load_state_dict(state.averaged())
        save_tensors(out / CONSTANT_FILE, {"plan": state.averaged()["plan"].half()}, state.settings)
        check = [batches.draw(end + START_BATCHES + index).to(device) for index in range(CHECK_BATCHES)]
        found = Comparison(*(_loss_with(network, reasoning, check, recipe) for reasoning in (loop, state.model)))
        sentence = f"velocity loss with the loop {found.loop:.4f}, with the constant {found.constant:.4f}"
        watch.result(sentence, asdict(found))
    return found


def _new_state(loop: ReasoningLoop, plan: Tensor, digest: str, recipe: Recipe) -> TrainingState:
    constant = ConstantPlan(loop, plan)
    ema = Ema(constant, OPTIMISER.ema_decay)
    return TrainingState(constant, adamw(constant, OPTIMISER), ema, settings={"denoiser": digest}, recipe=recipe.json())


@torch.no_grad()
def _loss_with(network: LiRAModel, reasoning: nn.Module, batches: list[Batch], recipe: Recipe) -> float:
    network.register_module("reasoning", reasoning)
    return sum(float(constant_loss(network, batch, recipe.run.bf16)) for batch in batches) / len(batches)

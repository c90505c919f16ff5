"""What every training loop shares: schedule, EMA, resumable state, steps with checkpoints."""

import contextlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from lira.checkpoint import check_fits, load_tensors, save_tensors
from lira.training.recipe import Optimiser
from lira_runtime.errors import BadInput

STATE_NAME = "state.safetensors"


def cosine_rate(step: int, steps: int, warmup_steps: int, floor: float = 0.02) -> float:
    """The share of the peak learning rate at step `step` of `steps`: linear warm-up, under a cosine."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps)))))


@dataclass(frozen=True)
class Rank:
    """This process among the `count` that share a run; number 0 alone writes files."""

    index: int = 0
    count: int = 1


class Ema:
    """An exponential moving average of a module's floating parameters and buffers, kept in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step `step`; the average is shorter in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        state = module.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # One call for all tensors: there are hundreds of small ones.
        torch._foreach_lerp_([self.shadow[name] for name in moving], [state[name] for name in moving], 1 - decay)
        for name in state.keys() - set(moving):
            self.shadow[name].copy_(state[name])


@dataclass
class TrainingState:
    """Everything a run needs to go on after an interruption. `seconds` counts training time over all its runs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema
    step: int = 0
    seconds: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    """What must be equal between a run and its continuation, e.g. the latent kind."""
    recipe: str = ""
    """The resolved recipe as JSON; a continuation may change it."""
    changes: tuple[str, ...] = ()
    """What a continuation changed in the recipe that the loaded state was saved under, a sentence each."""
    rank: Rank = field(default_factory=Rank)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as safetensors, whole or not at all. Every process of the run must call it."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.shadow.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(v) for name, v in slots.items()}
        whole = {name: gathered(tensor) for name, tensor in tensors.items()}
        counters = {"step": self.step, "seconds": self.seconds, "settings": self.settings}
        if self.rank.index == 0:
            save_tensors(path, whole, {"training": json.dumps(counters), "recipe": self.recipe})

    def averaged(self) -> dict[str, Tensor]:
        """The EMA weights, whole. Every process of the run must call it."""
        return {name: gathered(tensor) for name, tensor in self.ema.shadow.items()}

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go back to a saved state. Raises BadInput when it belongs to another model or other settings."""
        tensors, metadata = load_tensors(path)
        if "training" not in metadata:
            raise BadInput(f"{path} holds weights but no training state.")
        counters = json.loads(metadata["training"])
        if counters["settings"] != self.settings:
            raise BadInput(f"{path} was trained with {counters['settings']}, not with {self.settings}.")
        self.changes = changed_values(metadata.get("recipe", ""), self.recipe)
        own = self.model.state_dict()
        check_fits(self.model, _below("model.", tensors), str(path))
        self.model.load_state_dict({k: _laid_out(v, own[k]) for k, v in _below("model.", tensors).items()})
        self.ema.shadow = {k: _laid_out(v, self.ema.shadow[k]) for k, v in _below("ema.", tensors).items()}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer.", tensors).items():
            index, slot = name.split(".")
            like = parameters[int(index)]
            moment = _laid_out(value, like) if value.shape == like.shape and slot != "step" else value
            slots.setdefault(int(index), {})[slot] = moment
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.step, self.seconds = counters["step"], counters["seconds"]


def changed_values(before: str, after: str) -> tuple[str, ...]:
    """What differs between two recipes as JSON, a sentence each; none where either is empty."""
    if not (before and after):
        return ()
    old, new = _leaves(json.loads(before)), _leaves(json.loads(after))
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return tuple(f"{name} was {old.get(name)} and is {new.get(name)} from here on." for name in names)


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """A JSON tree's values by their dotted paths."""
    if not isinstance(tree, dict | list):
        return {path: tree}
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {k: v for name, branch in branches for k, v in _leaves(branch, f"{path}.{name}".lstrip(".")).items()}


def adamw(module: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over all parameters, in one fused kernel."""
    return torch.optim.AdamW(
        module.parameters(), lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )


def begin(state: TrainingState, out: Path, resume: bool) -> None:
    """Make `out` ready for a run, or go back to the run that it holds; seeds torch so that a resume draws new noise.

    Raises BadInput when `out` holds a run and `resume` is not given, or none and it is.
    """
    path = out / STATE_NAME
    if path.exists() and not resume:
        raise BadInput(f"{out} already holds a run: add --resume, or choose another folder.")
    if resume:
        state.load(path)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(state.step)


def optimise(state: TrainingState, loss: Tensor, settings: Optimiser, steps: int) -> float:
    """One clipped step of AdamW at the scheduled rate of a run of `steps` steps, then the EMA.

    Returns the gradient norm before clipping. Raises BadInput when loss or gradient is not finite: no weight changes.
    """
    rate = settings.rate * cosine_rate(state.step, steps, settings.warmup_steps)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    value = float(loss.detach())
    norm = float(gathered(nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip)))
    if not (math.isfinite(norm) and math.isfinite(value)):
        what = f"the gradient's norm is {norm}" if math.isfinite(value) else f"the loss is {value}"
        raise BadInput(f"Step {state.step + 1}: {what}. The last checkpoint stands: lower the rate and --resume.")
    state.optimizer.step()
    state.step += 1
    state.ema.update(state.model, state.step)
    return norm


def training_steps(state: TrainingState, steps: int, checkpoint: Path, save_every: int) -> Generator[int, None, None]:
    """Yield the number of every step still to do; the caller calls `optimise` once for each.

    The state is saved every `save_every` steps, at the end, and, between two steps, on the first Ctrl-C or SIGTERM,
    which then ends the loop with KeyboardInterrupt. An exception in the caller saves nothing, and neither does an
    interrupt where several processes share the run: they would stop at different steps.
    """
    with _stop_requests(alone=state.rank.count == 1) as stop:
        last = time.monotonic()
        while state.step < steps:
            yield state.step
            now = time.monotonic()
            state.seconds, last = state.seconds + now - last, now
            if state.step % save_every == 0 or stop.is_set() or state.step >= steps:
                state.save(checkpoint)
            if stop.is_set() and state.step < steps:
                raise KeyboardInterrupt


@contextlib.contextmanager
def _stop_requests(alone: bool) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets, where the process is `alone`; the second one acts as before."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])

    if alone and threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def mean_over_processes(values: Tensor, rank: Rank) -> list[float]:
    """The mean of each value over the processes of the run; each of them must call it."""
    values = values.detach().float()
    if rank.count > 1:
        torch.distributed.all_reduce(values)
    return (values / rank.count).tolist()


def gathered(tensor: Tensor) -> Tensor:
    """A tensor that is whole on every process; one sharded by FSDP is collected from them all."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _laid_out(value: Tensor, like: Tensor) -> Tensor:
    """`value` where and how `like` lies: device, sharding, and memory layout, which a fused optimiser relies on."""
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return torch.empty_like(like, dtype=value.dtype).copy_(value)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

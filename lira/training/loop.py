"""What every training loop shares: schedule, EMA, resumable state, a clock for logs and checkpoints."""

import json
import math
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lira.checkpoint import fill_module, load_tensors, save_tensors
from lira_runtime.errors import BadInput

STATE_NAME = "state.safetensors"
CLIP_NORM = 1.0
"""Largest gradient norm of a step (spec, training recipe)."""


def cosine_rate(step: int, progress: float, warmup_steps: int, floor: float = 0.02) -> float:
    """The share of the peak learning rate: linear warm-up in steps, then a cosine over `progress` in [0, 1]."""
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress)))))


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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as safetensors, whole or not at all."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.shadow.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(v) for name, v in slots.items()}
        counters = {"step": self.step, "seconds": self.seconds, "settings": self.settings}
        save_tensors(path, tensors, {"training": json.dumps(counters)})

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go back to a saved state. Raises BadInput when it belongs to another model or other settings."""
        tensors, metadata = load_tensors(path)
        if "training" not in metadata:
            raise BadInput(f"{path} holds weights but no training state.")
        counters = json.loads(metadata["training"])
        if counters["settings"] != self.settings:
            raise BadInput(f"{path} was trained with {counters['settings']}, not with {self.settings}.")
        fill_module(self.model, _below("model.", tensors), str(path))
        self.ema.shadow = {k: v.to(self.ema.shadow[k].device) for k, v in _below("ema.", tensors).items()}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer.", tensors).items():
            index, slot = name.split(".")
            like = parameters[int(index)]
            # A fused optimiser pairs elements by address, so moments need the parameter's own memory layout.
            laid_out = torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value
            slots.setdefault(int(index), {})[slot] = laid_out
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.step, self.seconds = counters["step"], counters["seconds"]


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


def optimise(state: TrainingState, loss: Tensor, peak_rate: float, progress: float, warmup_steps: int) -> float:
    """One clipped optimiser step with the scheduled rate, then the EMA. Returns the gradient norm before clipping."""
    for group in state.optimizer.param_groups:
        group["lr"] = peak_rate * cosine_rate(state.step, progress, warmup_steps)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), CLIP_NORM)
    state.optimizer.step()
    state.step += 1
    state.ema.update(state.model, state.step)
    return float(norm)


@dataclass(frozen=True)
class LoopSettings:
    """How long to train, and how often to report (all in seconds)."""

    budget: float
    log_every: float = 10.0
    save_every: float = 120.0


def training_clock(
    state: TrainingState, settings: LoopSettings, checkpoint: Path
) -> Generator[tuple[float, bool], None, None]:
    """Yield (progress in [0, 1], whether to log after this step) until the budget of training seconds is spent.

    The caller does one optimiser step for each item. The state is saved at intervals, at the end, and on Ctrl-C.
    """
    last = logged = saved = time.monotonic()
    try:
        while state.seconds < settings.budget:
            now = time.monotonic()
            log = now - logged >= settings.log_every
            logged = now if log else logged
            yield state.seconds / settings.budget, log
            now = time.monotonic()
            state.seconds += now - last
            last = now
            if now - saved >= settings.save_every:
                state.save(checkpoint)
                saved = now
    finally:
        state.save(checkpoint)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

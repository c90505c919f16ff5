"""What every training loop shares: schedule, start, one optimiser step, steps with checkpoints."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from lira.training.recipe import Optimiser
from lira.training.state import Rank, TrainingState, gathered
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write, remove_parts

STATE_NAME, RECIPE_NAME = "state.safetensors", "recipe.json"


def cosine_rate(step: int, steps: int, warmup_steps: int, floor: float = 0.02) -> float:
    """The share of the peak learning rate at step `step` of `steps`: linear warm-up to 1, then a cosine to `floor`."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def adamw(module: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW over all parameters, in one fused kernel."""
    return torch.optim.AdamW(
        module.parameters(), lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )


def check_start(out: Path, resume: bool) -> None:
    """Raise BadInput when `out` holds a run and `resume` is not given: to be asked before anything long."""
    if (out / STATE_NAME).exists() and not resume:
        raise BadInput(f"{out} already holds a run: add --resume, or choose another folder.")


def begin(state: TrainingState, out: Path, resume: bool, steps: int) -> None:
    """Make `out` ready for a run to step `steps`, or go back to the run that it holds, and keep the recipe there.

    Torch is seeded so that a resume draws new noise. To resume where a kill came before the first save is to start at
    step 0, with a note. What a kill left half written is removed. Raises BadInput when `out` holds a run and `resume`
    is not given, or a state that does not fit or is beyond `steps`.
    """
    check_start(out, resume)
    if (out / STATE_NAME).exists():
        state.load(out / STATE_NAME)
        if state.step > steps:
            raise BadInput(f"The run in {out} is at step {state.step} already: {steps} steps in all are too few.")
    elif resume:
        state.notes += (f"{out} holds no state yet: the run starts at step 0.",)
    out.mkdir(parents=True, exist_ok=True)
    if state.rank.index == 0:
        remove_parts(out)
        if state.step < steps:
            with atomic_write(out / RECIPE_NAME) as part:
                part.write_bytes(msgspec.json.format(state.recipe.encode(), indent=2) + b"\n")
    torch.manual_seed(state.step)


def optimise(state: TrainingState, loss: Tensor, settings: Optimiser, steps: int) -> float | None:
    """One clipped step of AdamW at the scheduled rate of a run of `steps` steps, then the EMA.

    A save that is due is made before it. Returns the gradient norm before clipping; None after the last step, where
    the loss only proves the state and no step is taken. Raises BadInput when loss or gradient is not finite: no weight
    changes, and nothing is saved.
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
        when = f"Step {state.step + 1}" if state.step < steps else f"After step {state.step}, the last"
        raise BadInput(f"{when}: {what}. {_way_on(state)}")
    state.proven()
    if state.step >= steps:
        return None
    state.optimizer.step()
    state.step += 1
    state.ema.update(state.model, state.step)
    return norm


def _way_on(state: TrainingState) -> str:
    """What to do after a loss or gradient that is not finite."""
    if state.saved_step is None:
        return "Nothing is saved yet: lower the rate and start again."
    if state.saved_step == state.step:
        return "The state that the run went on from gives it, at any rate: start again in another folder."
    return f"The last checkpoint, of step {state.saved_step}, stands: lower the rate and --resume."


def training_steps(state: TrainingState, steps: int, checkpoint: Path, save_every: int) -> Generator[int, None, None]:
    """Yield the number of every step still to do, then `steps`; the caller calls `optimise` once for each.

    The state is saved every `save_every` steps, on the first Ctrl-C or SIGTERM and at the end, each time within the
    next step, once it has shown that loss and gradient are finite (see `optimise`): step number `steps` is there for
    the last save alone. An interrupt then ends the loop with KeyboardInterrupt. An exception in the caller saves
    nothing, and neither does an interrupt where several processes share the run: they would stop at different steps.
    """
    with _stop_requests(alone=state.rank.count == 1) as stop:
        last, stopping = time.monotonic(), False
        while state.step < steps:
            yield state.step
            now = time.monotonic()
            state.seconds, last = state.seconds + now - last, now
            if stopping and state.step < steps:
                raise KeyboardInterrupt
            if stop.is_set() or state.step % save_every == 0 or state.step >= steps:
                state.save_once_proven(checkpoint)
                stopping = stop.is_set()
        if state.saved_step != state.step:
            yield state.step


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

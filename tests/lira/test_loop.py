"""One step of the optimiser, by hand."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lira.training import loop
from lira.training.loop import adamw, optimise
from lira.training.recipe import Optimiser
from lira.training.state import Ema, TrainingState
from lira_runtime.errors import BadInput

SETTINGS = Optimiser(rate=0.1, warmup_steps=10, clip=2.0, weight_decay=0.0, ema_decay=0.9)


def scalar(value: float = 0.0) -> TrainingState:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return TrainingState(model, adamw(model, SETTINGS), Ema(model, SETTINGS.ema_decay))


def test_a_step_is_clipped_takes_the_scheduled_rate_and_the_average_follows_slowly() -> None:
    state = scalar()
    assert optimise(state, 1000 * state.model.weight.sum(), SETTINGS, steps=10**6) == pytest.approx(1000)
    assert state.model.weight.grad.item() == pytest.approx(2.0)
    assert state.model.weight.item() == pytest.approx(-0.01)  # Adam's first step is the rate: a tenth of the peak
    assert state.ema.shadow["weight"].item() == pytest.approx(-0.01 * 9 / 11)  # the first decay is 2 / 11
    state.ema.update(state.model, 10**6)
    assert state.ema.shadow["weight"].item() == pytest.approx(-0.01 * (9 / 11 * 0.9 + 0.1))


def test_a_gradient_that_is_no_number_is_refused_and_no_weight_changes() -> None:
    state = scalar()
    with pytest.raises(BadInput, match="Step 1: the gradient's norm is inf"):
        optimise(state, state.model.weight.sum().sqrt(), SETTINGS, steps=10)
    assert state.model.weight.item() == 0 and state.step == 0


def test_the_seconds_of_all_runs_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=itertools.count(0, 2).__next__))
    before, after = scalar(), scalar()
    for state, steps in ((before, 3), (after, 5)):
        if state is after:
            state.load(tmp_path / "s.safetensors")
        for _ in loop.training_steps(state, steps, tmp_path / "s.safetensors", save_every=100):
            optimise(state, state.model.weight.sum(), SETTINGS, steps)
    assert (before.seconds, after.seconds) == (6, 10)  # two a step

"""Student, constant and decoder go on after a kill in their last step as if there had been none."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from lira.checkpoint import load_tensors, save_module
from lira.data.sources import Picture
from lira.data.synthetic import SyntheticData
from lira.model import LiRAModel, wake_zero_weights
from lira.sources import demo_weights
from lira.training import constant, decoder, student
from lira.training.recipe import resolve, resolve_as
from lira.training.watch import View, read_curve

STEPS = 4
RUN = ["run.bf16=false", "run.save_every=2", "optimiser.warmup_steps=1", "optimiser.ema_decay=0.5"]
Start = Callable[[Path, bool], object]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    network = LiRAModel("nano", 4, 32, 2)
    wake_zero_weights(network)
    metadata = {"config": "nano", "in_channels": "4", "d_text": "32", "patch_size": "2"}
    save_module(network, tmp_path / "network.safetensors", torch.float32, metadata)
    return tmp_path / "network.safetensors"


class Noise:
    """Pictures of noise."""

    size, description = 192, "noise"

    def __len__(self) -> int:
        return 8

    def picture(self, index: int) -> Picture:
        pixels = np.random.default_rng(index).integers(0, 256, (self.size, self.size, 3), np.uint8)
        return Picture(str(index), pixels, "noise")


def student_run(network: Path) -> Start:
    small = ["teacher.trajectories=8", "teacher.batch=8", "teacher.substeps=1", "batch=4"]
    recipe = resolve_as(student.StudentRecipe, "turbo-demo", [*RUN, *small, f"steps={STEPS}"])
    return lambda out, resume: student.run(network, SyntheticData("f8c4", 64, 32), recipe, out, resume, View())


def constant_run(network: Path) -> Start:
    recipe = constant.constant_recipe(resolve("smoke", [*RUN[:2], "stages.0.batch=2"]), STEPS)
    return lambda out, resume: constant.run(network, recipe, SyntheticData("f8c4", 64, 32), out, resume, View())


def decoder_run(network: Path) -> Start:
    small = ["resolution=192", "batch=2", f"steps={STEPS}", "losses.adversarial=0.1", "losses.adversarial_start=1"]
    recipe = resolve_as(decoder.DecoderRecipe, "decoder-demo", [*RUN, *small])
    encoder = str(demo_weights() / "encoder.safetensors")
    return lambda out, resume: decoder.run(recipe, encoder, None, Noise(), Noise(), out, resume)


@pytest.mark.parametrize(
    ("module", "run", "weights"),
    [
        (student, student_run, "denoiser.safetensors"),
        (constant, constant_run, "reasoning_constant.safetensors"),
        (decoder, decoder_run, "decoder.safetensors"),
    ],
)
def test_a_killed_run_goes_on_to_the_same_weights(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: Path,
    module: ModuleType,
    run: Callable[[Path], Start],
    weights: str,
) -> None:
    start, whole, parts, optimise = run(network), tmp_path / "whole", tmp_path / "parts", module.optimise
    steps: list[int] = []

    def killed(state: Any, *rest: Any) -> float | None:
        steps.append(state.step)
        if steps == list(range(STEPS)):
            raise KeyboardInterrupt
        return optimise(state, *rest)

    start(whole, False)
    monkeypatch.setattr(module, "optimise", killed)
    with pytest.raises(KeyboardInterrupt):
        start(parts, False)
    assert not (parts / weights).exists()
    torch.manual_seed(7)
    start(parts, True)
    assert steps == [0, 1, 2, 3, 2, 3, 4], "the second run goes on from the state of step 2, and proves its last"
    curves = [[point["loss"] for point in read_curve(folder / "curve.jsonl")] for folder in (whole, parts)]
    assert curves[0] == curves[1] and len(curves[0]) == STEPS
    for name in ("state.safetensors", weights):
        wanted, found = (load_tensors(folder / name)[0] for folder in (whole, parts))
        assert wanted.keys() == found.keys()
        assert not [key for key, value in wanted.items() if not torch.equal(found[key], value)], name

"""Training goes on after a kill as if nothing had happened, on any number of processes; a bad end spares the state."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lira.data.synthetic import SyntheticData
from lira.training import denoiser, loop
from lira.training.launch import Processes
from lira.training.recipe import Recipe, resolve
from lira.training.state import Rank
from lira.training.watch import read_curve
from lira_runtime import files
from lira_runtime.errors import BadInput

OVERRIDES = ["model.latent=demo", "stages.0.resolution=64", "stages.0.batch=4", "run.bf16=false", "stages.0.steps=8"]
OVERRIDES += ["optimiser.warmup_steps=0"]
WORKER = """
import sys, pathlib, torch
from lira.data.synthetic import SyntheticData
from lira.training import denoiser
from lira.training.recipe import stored
torch.set_num_threads(1)
recipe = stored(sys.argv[1], [], "test")
denoiser.run(recipe, [SyntheticData("demo", 64, 32)], pathlib.Path(sys.argv[2]), sys.argv[3] == "resume")
"""


def tiny(*overrides: str) -> Recipe:
    """A run of eight steps on four tokens, in float32, that saves after three and six."""
    return resolve("smoke", [*OVERRIDES, "run.save_every=3", *overrides])


def run(recipe: Recipe, out: Path, resume: bool = False) -> list[float]:
    """Train in this process; the loss of every step."""
    denoiser.run(recipe, [SyntheticData("demo", 64, 32)], out, resume)
    return losses(out)


def losses(out: Path) -> list[float]:
    points = read_curve(out / "curve.jsonl")
    assert [point["step"] for point in points] == list(range(1, len(points) + 1))
    return [point["loss"] for point in points]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return run(tiny(), tmp_path_factory.mktemp("whole"))


def launch(recipe: Recipe, out: Path, how: str) -> subprocess.Popen[bytes]:
    """Two processes of one run, by torch's own launcher."""
    script = out.parent / "worker.py"
    script.write_text(WORKER)
    root = Path(__file__).parents[2]
    paths = os.pathsep.join(str(root / folder) for folder in (".", "runtime"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.Popen(
        [*command, str(script), recipe.json(), str(out), how],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"},
    )


def workers(launcher: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in Linux's /proc")
def test_two_processes_one_of_them_killed_and_resumed_give_the_loss_of_one(
    tmp_path: Path, uninterrupted: list[float]
) -> None:
    out = tmp_path / "two"
    started = launch(tiny(), out, "start")
    curve, patience = out / "curve.jsonl", time.monotonic() + 120
    while (
        started.poll() is None
        and time.monotonic() < patience
        and not (curve.exists() and curve.read_text().count("\n") >= 4)
    ):
        time.sleep(0.05)
    os.kill(workers(started.pid)[1], signal.SIGKILL)
    assert started.wait(120) != 0
    before = losses(out)
    assert 4 <= len(before) < 8
    assert launch(tiny(), out, "resume").wait(300) == 0
    after = losses(out)
    for step, (one, two) in enumerate(zip(uninterrupted, after, strict=True), 1):
        print(f"step {step}  one process {one:.7f}  two processes {two:.7f}  apart {abs(one - two):.1e}")
    assert after == pytest.approx(uninterrupted, rel=2e-5)
    assert before == pytest.approx(uninterrupted[: len(before)], rel=2e-5)


def test_a_stopped_run_saves_and_goes_on_with_the_same_losses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: list[float]
) -> None:
    recipe, loss = tiny("run.save_every=100"), denoiser.training_loss

    def interrupted(*arguments: object) -> object:
        if len(losses(tmp_path)) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(*arguments)

    monkeypatch.setattr(denoiser, "training_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path)
    monkeypatch.undo()
    assert json.loads((tmp_path / "recipe.json").read_text())["run"]["save_every"] == 100
    assert denoiser.chosen_recipe(None, [], tmp_path, resume=True) == recipe
    assert run(recipe, tmp_path, resume=True) == uninterrupted


def test_a_loss_that_is_no_number_names_its_step_and_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: list[float]
) -> None:
    loss = denoiser.training_loss

    def broken(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
        value, velocity = loss(*arguments)
        return (value * float("nan") if len(losses(tmp_path)) == 5 else value), velocity

    monkeypatch.setattr(denoiser, "training_loss", broken)
    with pytest.raises(BadInput, match="Step 6: the loss is nan"):
        run(tiny(), tmp_path)
    monkeypatch.undo()
    assert run(tiny(), tmp_path, resume=True) == uninterrupted


def exploding_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The update of step `step`, from 1, throws the weights so far that no loss is finite afterwards."""
    rate = loop.cosine_rate
    monkeypatch.setattr(loop, "cosine_rate", lambda at, *rest: 1e12 if at == step - 1 else rate(at, *rest))


def test_an_update_that_ruins_the_weights_is_not_what_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: list[float]
) -> None:
    exploding_at(monkeypatch, 4)
    with pytest.raises(BadInput, match=r"Step 5: .* The last checkpoint, of step 3, stands: lower the rate"):
        run(tiny("run.save_every=1"), tmp_path)
    monkeypatch.undo()
    assert run(tiny(), tmp_path, resume=True) == uninterrupted


def test_what_to_do_after_a_bad_loss_is_said_where_no_good_state_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exploding_at(monkeypatch, 1)
    with pytest.raises(BadInput, match="Step 2: .* Nothing is saved yet: lower the rate and start again"):
        run(tiny("run.save_every=1"), tmp_path)
    assert not (tmp_path / "state.safetensors").exists()
    run(tiny("stages.0.steps=1"), tmp_path)
    with pytest.raises(BadInput, match="Step 2: .* at any rate: start again in another folder"):
        run(tiny(), tmp_path, resume=True)


def test_to_resume_before_the_first_save_is_to_start(tmp_path: Path, capsys, uninterrupted: list[float]) -> None:
    with pytest.raises(BadInput, match="holds no state yet .* --recipe"):
        denoiser.chosen_recipe(None, [], tmp_path, resume=True)
    assert run(tiny(), tmp_path, resume=True) == uninterrupted
    assert f"{tmp_path} holds no state yet: the run starts at step 0." in capsys.readouterr().err


@pytest.mark.parametrize("where", ["save_file", "replace"])
def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: list[float], where: str
) -> None:
    full, state = OSError(errno.ENOSPC, "No space left on device"), tmp_path / "state.safetensors"
    owner = files.os if where == "replace" else sys.modules["lira.checkpoint"]
    act = getattr(owner, where)

    def on_a_full_disk(*arguments: object) -> object:
        if state.exists() and state in arguments or where == "save_file" and state.exists():
            raise full
        return act(*arguments)

    monkeypatch.setattr(owner, where, on_a_full_disk)
    with pytest.raises((OSError, BadInput)):
        run(tiny(), tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".lira-*")), "no half-written file stays"
    assert run(tiny(), tmp_path, resume=True) == uninterrupted


def test_a_state_of_another_preset_is_refused_and_so_is_a_second_start(tmp_path: Path) -> None:
    run(tiny("stages.0.steps=1"), tmp_path)
    with pytest.raises(BadInput, match="was trained with .*nano"):
        run(tiny("model.preset=tiny"), tmp_path, resume=True)
    with pytest.raises(BadInput, match="already holds a run"):
        run(tiny(), tmp_path)


@pytest.mark.parametrize(("batch", "count", "fits"), [(8, 2, True), (6, 2, False), (7, 2, False), (6, 1, True)])
def test_every_part_of_a_batch_is_of_one_even_size(
    monkeypatch: pytest.MonkeyPatch, batch: int, count: int, fits: bool
) -> None:
    parts = []
    for index in range(count):
        processes = Processes()
        monkeypatch.setattr(processes, "rank", Rank(index, count))
        if not fits:
            with pytest.raises(BadInput, match="multiple of 4"):
                processes.share(batch)
            return
        parts.append(range(batch)[processes.share(batch)])
    assert [place for part in parts for place in part] == list(range(batch))
    assert all(part.start % 2 == 0 for part in parts)

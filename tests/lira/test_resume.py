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

from lira.checkpoint import load_tensors
from lira.data.synthetic import SyntheticData
from lira.training import denoiser, loop
from lira.training.choice import chosen_recipe
from lira.training.launch import Processes
from lira.training.recipe import Recipe, resolve
from lira.training.state import Rank
from lira.training.watch import read_curve
from lira_runtime import files
from lira_runtime.errors import BadInput

OVERRIDES = ["model.latent=demo", "stages.0.resolution=64", "stages.0.batch=4", "run.bf16=false", "stages.0.steps=8"]
OVERRIDES += ["optimiser.warmup_steps=0"]
PATIENCE = 600
"""Seconds for two processes on a busy machine; on an idle one they take 15."""
WORKER = """
import itertools, sys, pathlib, time, torch
from lira.data.synthetic import SyntheticData
from lira.training import denoiser
from lira.training.recipe import Recipe, stored
torch.set_num_threads(1)
recipe = stored(Recipe, sys.argv[1], "test")
if sys.argv[3] == "start":  # and wait in the sixth step to be killed
    loss, count = denoiser.training_loss, itertools.count(1)
    denoiser.training_loss = lambda *given: loss(*given) if next(count) < 6 else time.sleep(3600)
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
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without an interruption."""
    out = tmp_path_factory.mktemp("whole")
    run(tiny(), out)
    return out


@pytest.fixture
def uninterrupted(whole: Path) -> list[float]:
    return losses(whole)


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


def wait_for_step(started: subprocess.Popen[bytes], curve: Path, step: int) -> None:
    """Wait until the curve holds that step; fails, with the launcher ended, where it never will."""
    end = time.monotonic() + PATIENCE
    while not (curve.exists() and curve.read_text().count("\n") >= step):
        if started.poll() is not None:
            pytest.fail(f"the two processes ended, with {started.returncode}, before their step {step}")
        if time.monotonic() > end:
            started.terminate()
            pytest.fail(f"the two processes did not get to step {step} within {PATIENCE} s")
        time.sleep(0.05)


def exit_code(started: subprocess.Popen[bytes], what: str) -> int:
    try:
        return started.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        started.terminate()
        pytest.fail(f"{what} did not end within {PATIENCE} s")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in Linux's /proc")
def test_two_processes_one_of_them_killed_and_resumed_give_what_one_gives(
    tmp_path: Path, whole: Path, uninterrupted: list[float]
) -> None:
    out = tmp_path / "two"
    started = launch(tiny(), out, "start")
    wait_for_step(started, out / "curve.jsonl", 5)
    os.kill(workers(started.pid)[1], signal.SIGKILL)
    assert exit_code(started, "the run that lost a process") != 0
    assert losses(out) == pytest.approx(uninterrupted[:5], rel=2e-5)
    assert exit_code(launch(tiny(), out, "resume"), "the resumed run") == 0
    for step, (one, two) in enumerate(zip(uninterrupted, losses(out), strict=True), 1):
        print(f"step {step}  one process {one:.7f}  two processes {two:.7f}  apart {abs(one - two):.1e}")
    assert losses(out) == pytest.approx(uninterrupted, rel=2e-5)
    for name in ("state.safetensors", "denoiser.safetensors"):
        one, two = (load_tensors(folder / name)[0] for folder in (whole, out))
        assert one.keys() == two.keys()
        apart = {key: float((two[key].float() - wanted.float()).norm()) for key, wanted in one.items()}
        assert not [key for key, distance in apart.items() if distance > 2e-3 * float(one[key].float().norm())], name


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
    assert chosen_recipe(Recipe, None, [], tmp_path, resume=True, default=None) == recipe
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


def test_a_last_update_that_ruins_the_weights_leaves_state_and_weights_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny("stages.0.steps=1"), tmp_path)
    kept = {name: (tmp_path / name).read_bytes() for name in ("state.safetensors", "denoiser.safetensors")}
    exploding_at(monkeypatch, 2)
    with pytest.raises(BadInput, match=r"After step 2, the last: .* The last checkpoint, of step 1, stands"):
        run(tiny("stages.0.steps=2"), tmp_path, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept


def test_what_to_do_after_a_bad_loss_is_said_where_no_good_state_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exploding_at(monkeypatch, 1)
    with pytest.raises(BadInput, match="Step 2: .* Nothing is saved yet: lower the rate and start again"):
        run(tiny("run.save_every=1"), tmp_path)
    assert not (tmp_path / "state.safetensors").exists()
    monkeypatch.undo()
    run(tiny("stages.0.steps=1"), tmp_path)
    loss = denoiser.training_loss
    monkeypatch.setattr(denoiser, "training_loss", lambda *given: tuple(float("nan") * part for part in loss(*given)))
    with pytest.raises(BadInput, match="Step 2: .* at any rate: start again in another folder"):
        run(tiny(), tmp_path, resume=True)


def test_to_resume_before_the_first_save_is_to_start(tmp_path: Path, capsys, uninterrupted: list[float]) -> None:
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
    with pytest.raises(BadInput, match=r"was trained with another config \(nano, here tiny\)\.$"):
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

"""The few-step student: it approaches its teacher's guided pictures, and its file says how it is drawn with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lira.checkpoint import read_metadata, save_module
from lira.data.synthetic import SyntheticData
from lira.model import LiRAModel, load_denoiser, wake_zero_weights
from lira.training import student
from lira.training.recipe import resolve_as
from lira.training.watch import View
from lira_runtime.errors import BadInput
from lira_runtime.sampler import sample, shifted_sigmas

SHORT = [
    "teacher.trajectories=16",
    "teacher.batch=16",
    "teacher.substeps=2",
    "teacher.guidance=6",
    "steps=16",
    "batch=8",
]
SHORT += ["optimiser.rate=3e-3", "optimiser.warmup_steps=3", "optimiser.ema_decay=0.8", "run.bf16=false"]


@pytest.fixture
def teacher_file(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    network = LiRAModel("nano", 4, 32, 2)
    wake_zero_weights(network)
    metadata = {"config": "nano", "in_channels": "4", "d_text": "32", "patch_size": "2"}
    save_module(network, tmp_path / "teacher.safetensors", torch.float32, metadata)
    return tmp_path / "teacher.safetensors"


def recipe(*more: str) -> student.StudentRecipe:
    return resolve_as(student.StudentRecipe, "turbo-demo", [*SHORT, *more])


@torch.inference_mode()
def drawn(network: LiRAModel, noise: Tensor, text: Tensor) -> Tensor:
    """As the runtime draws: four Euler steps of one pass."""
    *_, last = sample(
        lambda x, sigma: network(x, torch.full((len(x),), sigma), text)[0], noise, shifted_sigmas(4, 1.0), "euler"
    )
    return last.x


@pytest.mark.slow
def test_the_student_lands_nearer_to_the_guided_picture_than_its_teacher_in_as_many_steps(
    tmp_path: Path, teacher_file: Path
) -> None:
    data, out = SyntheticData("f8c4", 64, 32), tmp_path / "out"
    student.run(teacher_file, data, recipe(), out, resume=False, view=View())
    teacher, pupil = load_denoiser(teacher_file), load_denoiser(out / "denoiser.safetensors")
    guided_by = student.Teacher(teacher, "", recipe().sampler, recipe().teacher, bf16=False)
    noise, text = torch.randn(16, 4, 8, 8), torch.stack([data.read(900 + i)[1] for i in range(16)])
    wanted = guided_by.states(noise, text, data.empty_state)[:, -1]
    error = {
        name: float((drawn(n, noise, text) - wanted).square().mean())
        for name, n in (("teacher", teacher), ("student", pupil))
    }
    assert error["student"] < 0.5 * error["teacher"], error
    assert json.loads(read_metadata(out / "denoiser.safetensors")["sampler"]) == {
        "method": "euler",
        "steps": 4,
        "shift": 1.0,
        "guidance": 1.0,
    }
    assert torch.equal(pupil.reasoning.stop.weight, teacher.reasoning.stop.weight.half().float())


def test_a_student_of_nano_fits_16_mb(tmp_path: Path) -> None:
    network = LiRAModel("nano", 4, 192, 4)
    wake_zero_weights(network)
    state = student.new_state(network, "ab" * 32, recipe())
    student.save_student(state, recipe(), tmp_path / "student.safetensors")
    assert (tmp_path / "student.safetensors").stat().st_size < 16e6
    loaded = load_denoiser(tmp_path / "student.safetensors")
    inputs = torch.randn(1, 4, 32, 32), torch.tensor([0.75]), torch.randn(1, 77, 192)
    with torch.no_grad():
        found, wanted = loaded(*inputs)[0], network.eval()(*inputs)[0]
    assert float((found - wanted).square().mean().sqrt()) < 0.02 * float(wanted.square().mean().sqrt())


def test_a_teacher_of_other_latents_or_no_teacher_is_refused(tmp_path: Path, teacher_file: Path) -> None:
    with pytest.raises(BadInput, match="other latents"):
        student.run(teacher_file, SyntheticData("f8c4", 64, 48), recipe(), tmp_path / "out", False, View())
    save_module(torch.nn.Linear(2, 2), tmp_path / "linear.safetensors", torch.float32)
    with pytest.raises(BadInput, match="does not say which network"):
        student.run(tmp_path / "linear.safetensors", SyntheticData("f8c4", 64, 32), recipe(), tmp_path, False, View())
    assert not (tmp_path / "out").exists()


def test_equal_weights_are_one_teacher_whatever_their_file_says_of_them(
    tmp_path: Path, teacher_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def draw(folder: Path, teacher: student.Teacher, *rest: object) -> None:
        found.append(teacher.digest)
        raise KeyboardInterrupt

    monkeypatch.setattr(student, "draw_trajectories", draw)
    network, metadata = load_denoiser(teacher_file), read_metadata(teacher_file)
    for number in range(3):
        with pytest.raises(KeyboardInterrupt):
            student.run(teacher_file, SyntheticData("f8c4", 64, 32), recipe(), tmp_path / "out", False, View())
        if number == 1:
            network.final_proj.weight.data.add_(1)
        save_module(network, teacher_file, torch.float32, {**metadata, "note": "written anew"})
    assert found[0] == found[1] != found[2]


def test_a_run_that_was_started_several_times_at_once_is_refused(
    tmp_path: Path, teacher_file: Path, two_processes: None
) -> None:
    with pytest.raises(BadInput, match="The student is trained by one process, not by 2"):
        student.run(teacher_file, SyntheticData("f8c4", 64, 32), recipe(), tmp_path / "out", False, View())
    assert not (tmp_path / "out").exists()


def test_chord_loss_is_the_mean_square_of_each_sample() -> None:
    v, velocity = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, 3.0])[:, None, None, None].expand(2, 1, 2, 2)
    assert np.allclose(student.chord_loss(v, velocity), [1.0, 9.0])

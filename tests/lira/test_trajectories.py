"""The teacher's drawings and their chords, against flows whose solution is known."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from lira.data.synthetic import SyntheticData
from lira.model import LiRAModel, wake_zero_weights
from lira.training.trajectories import Levels, Teacher, Teaching, Trajectories, draw_trajectories, teacher_states
from lira_runtime.errors import BadInput
from lira_runtime.sampler import guided, sample

STD = 0.4


def gaussian_velocity(x: Tensor, sigma: float, mean: Tensor) -> Tensor:
    """E[eps - z_0 | x] of data drawn from N(mean, STD^2)."""
    variance = (1 - sigma) ** 2 * STD**2 + sigma**2
    return -mean + (sigma - (1 - sigma) * STD**2) / variance * (x - (1 - sigma) * mean)


def gaussian_state(noise: Tensor, sigma: float, mean: Tensor) -> Tensor:
    """Where the flow of `gaussian_velocity` carries noise from sigma 1: its Gaussians are moved and scaled."""
    return (1 - sigma) * mean + ((1 - sigma) ** 2 * STD**2 + sigma**2) ** 0.5 * noise


def test_the_kept_states_and_chords_are_those_of_the_guided_flow() -> None:
    torch.manual_seed(0)
    noise = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    text, empty, levels = torch.tensor(1.5), torch.tensor(-0.5), Levels(steps=4, shift=2.0)
    # Guidance moves the mean of a Gaussian, and does nothing else where both have one variance.
    moved = empty + 3.0 * (text - empty)
    states = teacher_states(guided(gaussian_velocity, text, empty, 3.0), noise, levels, substeps=250)
    wanted = torch.stack([gaussian_state(noise, sigma, moved) for sigma in levels.sigmas], 1)
    assert levels.sigmas == pytest.approx([1, 6 / 7, 2 / 3, 0.4, 0])
    assert float((states - wanted).abs().max()) < 1e-3
    chords = trajectories(states, levels).read(np.arange(3 * 4))
    exact = [(wanted[i // 4, i % 4] - wanted[i // 4, i % 4 + 1]) / span(levels, i % 4) for i in range(12)]
    assert torch.allclose(chords.velocity.double(), torch.stack(exact), atol=0.02)
    assert chords.t.tolist() == pytest.approx(levels.sigmas[:4] * 3)


def test_euler_steps_along_the_chords_land_on_the_teachers_picture() -> None:
    torch.manual_seed(0)
    noise, levels = torch.randn(1, 2, 4, 4), Levels(steps=3)
    states = teacher_states(lambda x, sigma: gaussian_velocity(x, sigma, torch.tensor(2.0)), noise, levels, substeps=2)
    velocities = iter(trajectories(states, levels).read(np.arange(3)).velocity)
    *_, last = sample(lambda x, sigma: next(velocities)[None], noise, levels.sigmas, "euler")
    assert torch.allclose(last.x, states[:, -1], atol=0.01)


def span(levels: Levels, step: int) -> float:
    return levels.sigmas[step] - levels.sigmas[step + 1]


def trajectories(states: Tensor, levels: Levels) -> Trajectories:
    return Trajectories(states, np.arange(len(states)), levels, SyntheticData("f8c4", 64, 32))


def teacher(guidance: float = 2.0, count: int = 5) -> Teacher:
    torch.manual_seed(0)
    network = LiRAModel("nano", 4, 32, 2).eval()
    wake_zero_weights(network)
    return Teacher(network, "ab" * 32, Levels(2), Teaching(guidance, 2, count, batch=2), bf16=False)


def test_kept_drawings_are_taken_up_and_the_missing_ones_drawn_as_before(tmp_path: Path) -> None:
    data = SyntheticData("f8c4", 64, 32)
    whole = draw_trajectories(tmp_path / "whole", teacher(), data, seed=3).read(np.arange(10))
    draw_trajectories(tmp_path / "part", teacher(count=2), data, seed=3)
    kept = (tmp_path / "part" / "00000.safetensors").stat().st_mtime_ns
    resumed = draw_trajectories(tmp_path / "part", teacher(), data, seed=3).read(np.arange(10))
    assert (tmp_path / "part" / "00000.safetensors").stat().st_mtime_ns == kept
    assert torch.equal(resumed.x, whole.x) and torch.equal(resumed.velocity, whole.velocity)
    assert len(list((tmp_path / "part").iterdir())) == 3
    # Text and noise belong together: the same text drawn from the same noise by hand.
    assert torch.equal(whole.text[0], whole.text[1]) and not torch.equal(whole.text[0], whole.text[2])
    states = teacher().states(whole.x[:1].float(), whole.text[:1], data.empty_state)
    assert torch.allclose(states[0, 1], whole.x[1], atol=5e-3)


def test_drawings_of_another_kind_are_refused(tmp_path: Path) -> None:
    data = SyntheticData("f8c4", 64, 32)
    draw_trajectories(tmp_path, teacher(count=2), data, seed=3)
    with pytest.raises(BadInput, match="was not drawn by this teacher"):
        draw_trajectories(tmp_path, teacher(guidance=3.0, count=2), data, seed=3)


@pytest.mark.parametrize("field", ["source", "encoder", "text_encoder"])
def test_drawings_of_other_data_of_the_same_length_and_size_are_refused(tmp_path: Path, field: str) -> None:
    data, other = SyntheticData("f8c4", 64, 32), SyntheticData("f8c4", 64, 32)
    draw_trajectories(tmp_path, teacher(count=2), data, seed=3)
    other.description = msgspec.structs.replace(data.description, **{field: "another"})
    with pytest.raises(BadInput, match="was not drawn by this teacher"):
        draw_trajectories(tmp_path, teacher(count=2), other, seed=3)
    draw_trajectories(tmp_path, teacher(count=2), data, seed=3)


def test_one_chord_alone_is_the_one_of_a_larger_batch() -> None:
    chords = trajectories(torch.randn(2, 4, 4, 8, 8), Levels(steps=3))
    whole, one = chords.read(np.arange(6)), chords.read(np.array([4]))
    assert one.x.shape == (1, 4, 8, 8) and one.text.shape == (1, 77, 32)
    assert torch.equal(one.velocity[0], whole.velocity[4]) and torch.equal(one.text[0], whole.text[4])


def test_drawing_tells_programs_its_progress_as_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_trajectories(tmp_path, teacher(count=2), SyntheticData("f8c4", 64, 32), seed=3, as_json=True)
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["event"], line["label"], line["done"], line["total"]) == ("progress", "draw", 2, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_teacher_on_a_gpu_draws_what_it_draws_on_a_cpu() -> None:
    noise, text, empty = torch.randn(2, 4, 8, 8), torch.randn(2, 77, 32), torch.zeros(77, 32)
    wanted, artist = teacher().states(noise, text, empty), teacher()
    artist.network.cuda()
    assert torch.allclose(artist.states(noise, text, empty).cpu(), wanted, atol=1e-3)

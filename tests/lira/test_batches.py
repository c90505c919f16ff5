"""What a step of training sees: dropped captions, times of the curriculum, and the stages one after the other."""

from pathlib import Path

import pytest
import torch

from lira.checkpoint import save_module
from lira.data.stream import Stream
from lira.data.synthetic import SyntheticData
from lira.model import LiRAModel, load_denoiser, wake_zero_weights
from lira.training import denoiser
from lira.training.batches import Batches
from lira.training.recipe import resolve
from lira.training.resident import ResidentData
from lira.training.watch import read_curve
from lira_runtime.errors import BadInput


def test_a_share_of_the_captions_is_the_empty_one() -> None:
    recipe = resolve("smoke", ["stages.0.batch=64", "objective.caption_dropout=0.25"])
    data = SyntheticData("f8c4", 64, 4)
    drawn = [Batches(recipe, [data], [slice(0, 64)]).draw(step) for step in range(20)]
    empty = torch.cat([(batch.text == data.empty_state).flatten(1).all(1) for batch in drawn])
    assert float(empty.float().mean()) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(("step", "median"), [(0, -3.0), (5, -2.25), (10, -1.5), (1000, -1.5)])
def test_the_times_of_a_step_are_those_of_its_place_in_the_curriculum(step: int, median: float) -> None:
    recipe = resolve("smoke", ["stages.0.batch=2048", "times.uniform_share=0", "times.b=0.5"])
    t = Batches(recipe, [SyntheticData("f8c4", 64, 4, 16)], [slice(0, 2048)]).draw(step).t
    assert float((2 * torch.log((1 - t) / t)).median()) == pytest.approx(median, abs=0.1)


def test_the_parts_of_two_processes_are_the_batch_of_one() -> None:
    recipe, data = resolve("smoke", ["stages.0.batch=8"]), SyntheticData("f8c4", 64, 4)
    whole, *parts = (Batches(recipe, [data], [s]).draw(7) for s in (slice(0, 8), slice(0, 4), slice(4, 8)))
    for name in ("z_0", "text", "t", "eps"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)), name
    assert not torch.equal(whole.eps[0], whole.eps[1])


STAGES = "stages=[{resolution=64, steps=3, batch=4}, {resolution=128, steps=2, batch=2}]"


def test_a_stage_begins_with_the_first_samples_of_its_own_data() -> None:
    recipe = resolve("smoke", [STAGES, "objective.caption_dropout=0", "optimiser.warmup_steps=1"])
    data = [SyntheticData("f8c4", side, 4, 32) for side in (64, 128)]
    batches = Batches(recipe, data, [slice(0, 4), slice(0, 2)])
    assert [batches.draw(step).z_0.shape for step in (2, 3)] == [(4, 4, 8, 8), (2, 4, 16, 16)]
    wanted = [data[1].read(int(index))[1] for index in Stream(data[1], 0).indices(0, 4)]
    assert torch.equal(torch.cat([batches.draw(step).text for step in (3, 4)]), torch.stack(wanted))


def test_a_run_goes_through_its_stages(tmp_path: Path) -> None:
    recipe = resolve("smoke", [STAGES, "run.bf16=false", "optimiser.warmup_steps=1"])
    denoiser.run(recipe, [SyntheticData("f8c4", side, 32) for side in (64, 128)], tmp_path, resume=False)
    assert len(read_curve(tmp_path / "curve.jsonl")) == 5


def test_data_held_on_a_device_gives_the_same_samples_and_shares_of_one_noise() -> None:
    recipe, data = resolve("smoke", ["stages.0.batch=8"]), SyntheticData("f8c4", 64, 4)
    held = ResidentData(data, torch.device("cpu"))
    read, whole = (Batches(recipe, [one], [slice(0, 8)]).draw(7) for one in (data, held))
    for name in ("z_0", "text", "t"):
        torch.testing.assert_close(getattr(whole, name), getattr(read, name), rtol=1e-3, atol=1e-3)
    parts = [Batches(recipe, [held], [s]).draw(7).eps for s in (slice(0, 4), slice(4, 8))]
    assert torch.equal(torch.cat(parts), whole.eps)
    assert whole.eps.shape == (8, 4, 8, 8) and float(whole.eps.std()) == pytest.approx(1, abs=0.1)
    assert not torch.equal(Batches(recipe, [held], [slice(0, 8)]).draw(8).eps, whole.eps)


def test_a_run_begins_with_the_weights_that_it_is_given(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = LiRAModel("nano", 4, 32, 2)
    wake_zero_weights(network)
    metadata = {"config": "nano", "in_channels": "4", "d_text": "32", "patch_size": "2"}
    save_module(network, tmp_path / "start.safetensors", torch.float32, metadata)
    recipe = resolve(
        "smoke", ["stages.0.steps=1", "stages.0.batch=2", "optimiser.warmup_steps=0", "optimiser.rate=1e-9"]
    )
    data = [SyntheticData("f8c4", 64, 32)]
    denoiser.run(recipe, data, tmp_path / "out", resume=False, start=tmp_path / "start.safetensors")
    for name, value in load_denoiser(tmp_path / "out" / "denoiser.safetensors").state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-3)
    with pytest.raises(BadInput, match="does not fit LiRAModel"):
        denoiser.run(
            recipe, [SyntheticData("f8c4", 64, 16)], tmp_path / "o", False, start=tmp_path / "start.safetensors"
        )

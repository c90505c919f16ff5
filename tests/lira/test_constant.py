"""One plan in the place of the reasoning loop: it is what is trained, and nothing else."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lira.checkpoint import load_tensors, read_metadata, save_module, weights_digest
from lira.data.synthetic import SyntheticData
from lira.layers import sincos_positions
from lira.model import LiRAModel, load_denoiser, wake_zero_weights
from lira.reasoning import ConstantPlan
from lira.training import constant
from lira.training.batches import Batches
from lira.training.recipe import resolve
from lira.training.watch import View
from lira_runtime.errors import BadInput


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    network = LiRAModel("nano", 4, 32, 2)
    wake_zero_weights(network)
    with torch.no_grad():  # a loop that this network depends on
        network.reasoning.out_proj.weight.mul_(5)
    metadata = {"config": "nano", "in_channels": "4", "d_text": "32", "patch_size": "2"}
    save_module(network, tmp_path / "denoiser.safetensors", torch.float32, metadata)
    return tmp_path / "denoiser.safetensors"


def test_a_constant_plan_is_the_loop_where_the_loops_plan_is_that_constant(weights: Path) -> None:
    network = load_denoiser(weights)
    inputs = torch.randn(1, 4, 8, 8), torch.tensor([0.4]), torch.randn(1, 77, 32)
    plans: list[torch.Tensor] = []
    network.reasoning.register_forward_hook(lambda loop, inputs, reasoned: plans.append(reasoned.plan))
    with torch.no_grad():
        wanted = network(*inputs)[0]
        network.reasoning = ConstantPlan(network.reasoning, plans[0][0])
        found, info = network(*inputs)
    assert torch.equal(found, wanted) and info["total_steps"].tolist() == [0]


def test_the_mean_plan_is_the_mean_over_the_samples(weights: Path) -> None:
    network, data = load_denoiser(weights), SyntheticData("f8c4", 64, 32)
    recipe = constant.constant_recipe(resolve("smoke"), 4)
    batches = [Batches(recipe, [data], [slice(0, 16)]).draw(step) for step in range(2)]
    plans = []
    with torch.no_grad():
        for batch in batches:
            z_t = (1 - batch.t[:, None, None, None]) * batch.z_0 + batch.t[:, None, None, None] * batch.eps
            tokens = network.patch_embedding(z_t).permute(0, 2, 3, 1)
            tokens = tokens + sincos_positions(*tokens.shape[1:])
            plans.append(network.reasoning(tokens, network.text_norm(batch.text), network.time_embedding(batch.t)).plan)
    assert torch.allclose(constant.mean_plan(network, batches), torch.cat(plans).mean(0), atol=1e-5)


def test_data_of_another_text_encoder_is_refused(tmp_path: Path, weights: Path) -> None:
    recipe = constant.constant_recipe(resolve("smoke"), 4)
    with pytest.raises(BadInput, match="other text states"):
        constant.run(weights, recipe, SyntheticData("f8c4", 64, 48), tmp_path / "out", resume=False, view=View())
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_started_several_times_at_once_is_refused(
    tmp_path: Path, weights: Path, two_processes: None
) -> None:
    recipe = constant.constant_recipe(resolve("smoke"), 4)
    with pytest.raises(BadInput, match="The constant is trained by one process, not by 2"):
        constant.run(weights, recipe, SyntheticData("f8c4", 64, 32), tmp_path / "out", resume=False, view=View())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["optimiser.rate", "optimiser", "stages.0.steps", "times.curriculum_steps"])
def test_an_override_that_would_be_thrown_away_is_refused_and_another_is_not(name: str) -> None:
    with pytest.raises(BadInput, match=f"--set {name}: the training of the constant does not heed it"):
        constant.check_overrides(["run.seed=1", f"{name}=1"])
    constant.check_overrides(["run.seed=1", "stages.0.batch=8", "times.mu=0"])


def test_a_trained_constant_is_better_than_the_mean_it_starts_from(tmp_path: Path, weights: Path, capsys) -> None:
    data, bf16 = SyntheticData("f8c4", 64, 32), False
    recipe = constant.constant_recipe(resolve("smoke", ["run.bf16=false"]), 20)
    found = constant.run(weights, recipe, data, tmp_path / "out", resume=False, view=View(json=True))
    assert read_metadata(tmp_path / "out" / "reasoning_constant.safetensors") == {
        "denoiser": weights_digest(load_denoiser(weights))
    }
    told = capsys.readouterr()
    last = json.loads(told.out.splitlines()[-1])
    assert last == {"event": "held_out", "step": 20, "figures": asdict(found)} and not told.err
    network = load_denoiser(weights)
    plan = load_tensors(tmp_path / "out" / "reasoning_constant.safetensors")[0]["plan"]
    assert plan.shape == (network.preset.reasoning_width,) and plan.dtype == torch.float16
    batches = Batches(recipe, [data], [slice(0, 16)])
    start = constant.mean_plan(network, [batches.draw(20 + index) for index in range(4)])
    losses, loop = {}, network.reasoning
    for name, chosen in {"start": start, "trained": plan.float()}.items():
        network.reasoning = ConstantPlan(loop, chosen)
        with torch.no_grad():
            losses[name] = sum(float(constant.constant_loss(network, batches.draw(24 + i), bf16)) for i in range(8)) / 8
    assert losses["trained"] < 0.98 * losses["start"], losses
    assert found.constant == pytest.approx(losses["trained"], rel=1e-2)

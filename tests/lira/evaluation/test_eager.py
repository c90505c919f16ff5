"""Drawing without the reasoning loop."""

from pathlib import Path

import pytest
import torch

from lira.checkpoint import save_tensors
from lira.evaluation.eager import CONSTANT_FILE, silence_reasoning
from lira.model import LiRAModel, wake_zero_weights
from lira.reasoning import Reasoned
from lira_runtime.errors import BadInput


def small_model() -> LiRAModel:
    torch.manual_seed(3)
    model = LiRAModel("nano", 4, 16, 2).eval()
    wake_zero_weights(model)
    return model


@torch.inference_mode()
def test_the_plan_that_the_loop_made_draws_as_the_loop_did_and_another_does_not(tmp_path: Path) -> None:
    model = small_model()
    inputs = (torch.randn(1, 4, 8, 8), torch.tensor([0.7]), torch.randn(1, 5, 16))
    plans: list[Reasoned] = []
    hook = model.reasoning.register_forward_hook(lambda module, args, output: plans.append(output))
    wanted, _ = model(*inputs)
    hook.remove()
    save_tensors(tmp_path / CONSTANT_FILE, {"plan": plans[0].plan[0]})
    silence_reasoning(model, tmp_path / CONSTANT_FILE)
    found, info = model(*inputs)
    torch.testing.assert_close(found, wanted)
    assert info["total_steps"].tolist() == [0]
    model = small_model()
    save_tensors(tmp_path / CONSTANT_FILE, {"plan": plans[0].plan[0] + 1})
    silence_reasoning(model, tmp_path / CONSTANT_FILE)
    assert (model(*inputs)[0] - wanted).abs().max() > 1e-3


def test_a_plan_of_another_width_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / CONSTANT_FILE, {"plan": torch.zeros(7)})
    with pytest.raises(BadInput, match="plan"):
        silence_reasoning(small_model(), tmp_path / CONSTANT_FILE)

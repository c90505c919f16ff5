"""Drawing without the reasoning loop."""

from pathlib import Path

import pytest
import torch

from lira import sources
from lira.checkpoint import load_tensors, save_tensors
from lira.evaluation.drawing import Options
from lira.evaluation.eager import CONSTANT_FILE, eager_artist, silence_reasoning
from lira.model import LiRAModel, wake_zero_weights
from lira.presets import get_preset
from lira.reasoning import Reasoned
from lira.sources import demo_weights
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


def test_the_committed_student_is_found_by_its_name_as_export_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = '{"method": "euler", "steps": 4, "shift": 2.0, "guidance": 1.0}'
    tensors, metadata = load_tensors(demo_weights() / "denoiser.safetensors")
    (tmp_path / "turbo").mkdir()
    save_tensors(tmp_path / "turbo" / "denoiser.safetensors", tensors, {**metadata, "sampler": sampler})
    save_tensors(tmp_path / "turbo" / CONSTANT_FILE, {"plan": torch.zeros(get_preset("nano").reasoning_width)})
    monkeypatch.setattr(sources, "turbo_weights", lambda: tmp_path / "turbo")
    monkeypatch.chdir(tmp_path)
    artist = eager_artist(Path("demo-turbo"), "constant", Options())
    assert artist.name == "demo-turbo (eager, reasoning constant)"
    assert (artist.settings["steps"], artist.settings["guidance"]) == (4, 1.0)


def test_a_missing_plan_says_what_makes_it_and_one_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist: train it by `lira-train constant`"):
        silence_reasoning(small_model(), tmp_path / CONSTANT_FILE)
    save_tensors(tmp_path / CONSTANT_FILE, {"plan": torch.zeros(7)})
    with pytest.raises(BadInput, match="plan"):
        silence_reasoning(small_model(), tmp_path / CONSTANT_FILE)

"""The processes that a launcher starts."""

import pytest
import torch

from lira.model import wake_zero_weights
from lira.training.denoiser import new_state
from lira.training.launch import Processes
from lira.training.recipe import resolve
from lira_runtime.errors import BadInput


@pytest.mark.parametrize("version", [None, "1"])
def test_the_first_version_of_fsdp_is_refused_whether_it_is_named_or_the_default(
    monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    monkeypatch.setattr("lira.training.launch.Accelerator", lambda **_: pytest.fail("accelerate was started"))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.delenv("FSDP_VERSION", raising=False)
    if version is not None:
        monkeypatch.setenv("FSDP_VERSION", version)
    with pytest.raises(BadInput, match="fsdp_version: 2"):
        Processes()


@pytest.mark.parametrize("wish", [{"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, {"FSDP_VERSION": "1"}])
def test_the_second_version_and_no_fsdp_are_not(
    monkeypatch: pytest.MonkeyPatch, two_processes: None, wish: dict[str, str]
) -> None:
    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    for name, value in wish.items():
        monkeypatch.setenv(name, value)
    assert Processes().rank.count == 2


@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_lie_as_their_weights_do_as_ddps_buckets_want_it(bf16: bool) -> None:
    state = new_state(resolve("smoke"), 32)
    wake_zero_weights(state.model)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    model = Processes().prepare(state)
    assert all(torch.equal(value, before[name]) for name, value in state.model.state_dict().items())
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        v, _ = model(torch.randn(2, 4, 8, 8), torch.rand(2), torch.randn(2, 77, 32))
    v.float().square().mean().backward()
    learned = {name: p for name, p in state.model.named_parameters() if p.grad is not None}
    assert "blocks.0.ffn.conv.weight" in learned
    assert not [name for name, p in learned.items() if p.grad.stride() != p.stride()]

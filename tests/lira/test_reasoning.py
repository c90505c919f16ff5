"""The reasoning loop in training: PonderNet's halting distribution, and the plan that follows from it."""

import pytest
import torch
import torch.nn.functional as F

from lira.presets import get_preset
from lira.reasoning import Reasoned, ReasoningLoop, overview

BATCH = 12


@torch.no_grad()
def pondered() -> tuple[Reasoned, Reasoned, torch.Tensor, torch.Tensor]:
    """`ponder` and `forward` on one batch; every step's plans (B, T, w) and stop gates (B, T)."""
    torch.manual_seed(0)
    preset = get_preset("nano")
    loop = ReasoningLoop(preset, 32).double()
    inputs = tuple(
        torch.randn(BATCH, *shape).double() for shape in ((8, 8, preset.d_model), (77, 32), (preset.d_cond,))
    )
    thought = loop.prepare(*inputs)
    second = loop.step(thought, loop.step(thought, loop.first(thought))[0])[0]
    # Sharp gates around the median of step 2, so that some samples stop there and others go on.
    loop.stop.weight.mul_(20)
    loop.stop.bias.copy_(-(second @ loop.stop.weight.T).median())
    r, plans, gates = loop.first(thought), [], []
    for _ in range(loop.most_steps):
        r, s = loop.step(thought, r)
        plans.append(r)
        gates.append(s[:, 0])
    return loop.ponder(*inputs), loop(*inputs), torch.stack(plans, 1), torch.stack(gates, 1)


def test_the_halting_distribution_is_the_chance_to_stop_at_each_step_for_the_first_time() -> None:
    reasoned, _, _, gates = pondered()
    p = reasoned.halting
    assert p is not None and p.shape == gates.shape
    for sample in range(BATCH):
        going = 1.0
        for k in range(1, gates.shape[1]):
            wanted = 0.0 if k == 1 else float(gates[sample, k - 1]) * going
            assert abs(float(p[sample, k - 1]) - wanted) <= 1e-12
            going -= wanted
        assert abs(float(p[sample, -1]) - going) <= 1e-12
    assert not p[:, 0].any()
    assert torch.allclose(p.sum(1), torch.ones(BATCH).double(), atol=1e-12)


def test_under_bf16_the_halting_distribution_is_that_of_the_gates_in_float32() -> None:
    torch.manual_seed(0)
    preset = get_preset("nano")
    loop, logits = ReasoningLoop(preset, 32), []
    loop.stop.register_forward_hook(lambda gate, inputs, logit: logits.append(logit))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        p = loop.ponder(torch.randn(4, 8, 8, preset.d_model), torch.randn(4, 77, 32), torch.randn(4, preset.d_cond))
    p = p.halting
    assert p is not None and p.dtype == torch.float32 and logits[0].dtype == torch.bfloat16
    gates, going = torch.cat(logits, 1).double().sigmoid(), torch.ones(4).double()
    for k in range(1, preset.reasoning_steps):
        wanted = going * gates[:, k] if k < preset.reasoning_steps - 1 else going
        assert torch.allclose(p[:, k].double(), wanted, rtol=1e-6, atol=1e-7), k
        going = going - wanted


def test_pondering_counts_the_steps_that_inference_takes() -> None:
    reasoned, eager, _, _ = pondered()
    assert reasoned.steps.tolist() == eager.steps.tolist()
    assert len(set(eager.steps.tolist())) > 1, "the samples must stop at different steps for this test to say anything"


def test_even_samples_take_the_expected_plan_and_odd_ones_that_of_inference() -> None:
    reasoned, eager, plans, _ = pondered()
    assert reasoned.halting is not None
    expected = (reasoned.halting[:, None] @ plans)[:, 0]
    assert torch.allclose(reasoned.plan[::2], expected[::2], atol=1e-12)
    assert torch.equal(reasoned.plan[1::2], eager.plan[1::2])
    assert not torch.allclose(expected, eager.plan, atol=1e-6)


@pytest.mark.parametrize("grid", [(8, 8), (3, 5), (32, 32), (20, 64), (9, 7), (1, 30)])
def test_the_overview_is_adaptive_average_pooling_to_at_most_8_x_8(grid: tuple[int, int]) -> None:
    tokens = torch.randn(2, *grid, 6, dtype=torch.float64)
    cells = (min(grid[0], 8), min(grid[1], 8))
    wanted = F.adaptive_avg_pool2d(tokens.permute(0, 3, 1, 2), cells).flatten(2).transpose(1, 2)
    assert torch.allclose(overview(tokens), wanted, atol=1e-6)

"""Traceable twins against the eager modules they mirror."""

import dataclasses
from typing import Any

import pytest
import torch

from lira.model import LiRAModel, wake_zero_weights
from lira.presets import get_preset
from lira.reasoning import HALT_ABOVE, ReasoningLoop
from lira.text import TEXT_PRESETS, seeded_text_encoder
from lira_export.rewrite.denoiser import TraceableReasoning, opened, traceable_denoiser
from lira_export.rewrite.text_encoder import traceable_text_encoder


def model(patch_size: int = 2) -> LiRAModel:
    torch.manual_seed(0)
    made = LiRAModel("nano", in_channels=4, d_text=32, patch_size=patch_size).eval()
    wake_zero_weights(made)
    with torch.no_grad():
        for block in made.blocks:
            if block.skip is not None:
                block.skip.normal_()
            for name, parameter in block.named_parameters():
                if name.endswith("connection.matrix"):
                    parameter.add_(0.2 * torch.randn(3, 3))
    return made


@torch.no_grad()
def centre_stop_gate(loop: ReasoningLoop, inputs: tuple[torch.Tensor, ...]) -> None:
    """Make the stop gate open at different steps for different samples."""
    thought = loop.prepare(*inputs)
    r = loop.step(thought, loop.step(thought, loop.first(thought))[0])[0]
    loop.stop.bias.sub_(loop.stop(r).median())


@torch.no_grad()
def test_the_fixed_loop_equals_early_exit_bit_for_bit_in_float64() -> None:
    loop = model().double().reasoning
    inputs = tuple(torch.randn(*shape).double() for shape in ((16, 8, 8, 192), (16, 77, 32), (16, 384)))
    centre_stop_gate(loop, inputs)
    fixed = TraceableReasoning(get_preset("nano"), 32).double()
    fixed.load_state_dict(loop.state_dict(), strict=True)
    early, unrolled = loop(*inputs), fixed(*inputs)
    assert len(set(early.steps.tolist())) > 1, "the samples must stop at different steps for this test to say anything"
    assert torch.equal(early.plan, unrolled.plan)
    assert early.steps.tolist() == unrolled.steps.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gate_opens_one_rounding_step_above_tau_and_not_at_it(dtype: torch.dtype) -> None:
    tau = torch.tensor(HALT_ABOVE, dtype=dtype)
    below, above = (torch.nextafter(tau, torch.tensor(side, dtype=dtype)) for side in (0.0, 1.0))
    gates = torch.stack(
        [torch.zeros_like(tau), below, tau, above, torch.nextafter(above, tau + 1), tau + 0.25, 2 * tau]
    )
    assert opened(gates).tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_a_gate_opens_in_float16_at_the_first_value_that_float16_holds_above_tau(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch, "finfo", lambda _, finfo=torch.finfo: finfo(torch.float32))  # as a graph made in float32
    gates = torch.tensor([0.0, 0.5, 0.5 + 2**-11, 0.75, 1.0], dtype=torch.float16)
    assert opened(gates).tolist() == [0, 0, 1, 1, 1]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fixed_loop_stops_where_early_exit_does_when_the_gate_is_at_tau_or_next_to_it(dtype: torch.dtype) -> None:
    preset = get_preset("nano")
    loops = ReasoningLoop(preset, 32), TraceableReasoning(preset, 32)
    loops[1].load_state_dict(loops[0].state_dict())
    inputs = tuple(torch.randn(*shape, dtype=dtype) for shape in ((1, 4, 4, 192), (1, 77, 32), (1, 384)))
    tau = torch.tensor([[HALT_ABOVE]], dtype=dtype)
    taken = {}
    for name, gate in (("at", tau), ("above", torch.nextafter(tau, 2 * tau))):
        reasoned = []
        for loop in loops:
            loop.to(dtype).step = lambda thought, r, loop=loop, gate=gate: (loop._next(thought, r), gate)
            reasoned.append(loop(*inputs))
        assert torch.equal(reasoned[0].plan, reasoned[1].plan)
        assert reasoned[0].steps.tolist() == reasoned[1].steps.tolist()
        taken[name] = reasoned[0].steps.item()
    assert taken == {"at": preset.reasoning_steps, "above": 2}


@torch.no_grad()
def test_a_sample_stops_at_the_first_open_gate_after_two_steps() -> None:
    loop = model().double().reasoning
    inputs = tuple(torch.randn(*shape).double() for shape in ((6, 4, 4, 192), (6, 77, 32), (6, 384)))
    centre_stop_gate(loop, inputs)
    reasoned = loop(*inputs)
    thought = loop.prepare(*inputs)
    r, plans, gates = loop.first(thought), [], []
    for _ in range(loop.most_steps):
        r, s = loop.step(thought, r)
        plans.append(r)
        gates.append(s[:, 0] > HALT_ABOVE)
    for sample in range(6):
        opened = [k for k in range(2, loop.most_steps + 1) if gates[k - 1][sample]]
        stopped = opened[0] if opened else loop.most_steps
        assert reasoned.steps[sample] == stopped
        assert torch.equal(reasoned.plan[sample], plans[stopped - 1][sample])
    assert len(set(reasoned.steps.tolist())) > 1, "the samples must stop at different steps"


@torch.no_grad()
@pytest.mark.parametrize("segment_sums", [False, True])
@pytest.mark.parametrize(("patch_size", "size"), [(1, (6, 6)), (2, (8, 8)), (2, (4, 12)), (4, (16, 8)), (1, (70, 3))])
def test_the_traceable_denoiser_equals_the_eager_one(
    patch_size: int, size: tuple[int, int], segment_sums: bool
) -> None:
    eager = model(patch_size)
    inputs = (torch.randn(1, 4, *size), torch.rand(1), torch.randn(1, 77, 32))
    v, info = eager(*inputs)
    velocity, steps = traceable_denoiser(eager, size, segment_sums)(*inputs)
    assert v.abs().max() > 0.01
    assert float((velocity - v).abs().max()) <= 1e-5
    assert steps.tolist() == info["total_steps"].tolist() and steps.dtype == torch.int32


@torch.no_grad()
@pytest.mark.parametrize("name", TEXT_PRESETS)
def test_the_traceable_text_encoder_equals_transformers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TEXT_PRESETS, name, dataclasses.replace(TEXT_PRESETS[name], layers=2))
    eager = seeded_text_encoder(name, seed=1)
    ids = torch.randint(0, 49408, (1, 77), dtype=torch.int32, generator=torch.Generator().manual_seed(2))
    wanted = eager.clip(input_ids=ids).last_hidden_state
    assert wanted.shape == (1, 77, TEXT_PRESETS[name].width)
    assert float((traceable_text_encoder(eager)(ids) - wanted).abs().max()) <= 1e-5


@pytest.mark.parametrize("segment_sums", [False, True])
def test_the_traceable_denoiser_has_rank_four_and_no_op_that_a_converter_refuses(segment_sums: bool) -> None:
    inputs = (torch.randn(1, 4, 16, 16), torch.rand(1), torch.randn(1, 77, 32))
    program = torch.export.export(traceable_denoiser(model(), (16, 16), segment_sums), inputs).run_decompositions({})
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert max(node.meta["val"].ndim for node in calls if isinstance(node.meta.get("val"), torch.Tensor)) == 4
    kinds = {str(node.target).split(".")[1] for node in calls if str(node.target).startswith("aten.")}
    assert not kinds & {"alias", "cumsum", "gather", "expand", "einsum", "bmm", "le", "gt", "where", "flip"}, kinds

"""Buffers that are alive together, against sums by hand and PyTorch's own allocator."""

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from lira_export.memory.liveness import Buffer, live_buffers, peak_bytes
from lira_export.memory.trace import Trace, trace_module

FLOAT = torch.float32
ROWS = 5


def peak_of(module: nn.Module, *shapes: tuple[int, ...]) -> int:
    return peak_bytes(live_buffers(trace_module(module, [(shape, FLOAT) for shape in shapes])))


def test_buffers_overlap_where_one_is_born_at_the_op_that_reads_the_other_last() -> None:
    assert peak_bytes([]) == 0
    assert peak_bytes([Buffer(7, 0, 3), Buffer(5, 3, 4), Buffer(11, 4, 9)]) == 16
    assert peak_bytes([Buffer(7, 0, 3), Buffer(5, 3, 4), Buffer(1, 4, 9)]) == 12


@pytest.mark.parametrize("widths", [(3, 50, 20, 40, 2), (8, 8, 8, 8), (2, 100)])
def test_a_chain_of_products_needs_its_widest_pair_of_neighbours(widths: tuple[int, ...]) -> None:
    chain = nn.Sequential(*(nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)))
    made = (0, *widths[1:])  # the input is the caller's
    widest = max(a + b for a, b in zip(made, made[1:], strict=False))
    assert peak_of(chain, (ROWS, widths[0])) == 4 * ROWS * widest


class _Branches(nn.Module):
    """A long skip: a is read first and last. Rows of 4, in bytes of a row: a 64, b 256, c 64."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 16), nn.Linear(16, 64), nn.Linear(64, 16)

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        return a + self.c(self.b(a))


def test_a_skip_is_alive_while_the_others_run() -> None:
    assert peak_of(_Branches(), (ROWS, 4)) == ROWS * (64 + 256 + 64)


class _Tail(nn.Module):
    def __init__(self, tail: str) -> None:
        super().__init__()
        self.first, self.tail = nn.Linear(4, 16), tail

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return {
            "in place": lambda: torch.relu(y),
            "read again": lambda: torch.relu(y) + y,
            "another shape": lambda: y.reshape(-1, 2, 8),
            "another layout": lambda: y.transpose(0, 1),
        }[self.tail]()


@pytest.mark.parametrize(
    ("tail", "copies"), [("in place", 1), ("read again", 2), ("another shape", 1), ("another layout", 2)]
)
def test_what_needs_no_second_buffer_takes_none(tail: str, copies: int) -> None:
    assert peak_of(_Tail(tail), (ROWS, 4)) == copies * ROWS * 64


def test_pytorchs_allocator_agrees_on_a_network_of_products_and_layouts() -> None:
    """Without ops in place and aliases, which eager PyTorch has otherwise than a graph."""

    class _Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(64, 512, bias=False), nn.Linear(512, 64, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.narrow(self.wide(x))
            return torch.cat([x, self.narrow(self.wide(x))])

    module, x = _Network().eval(), torch.zeros(1000, 64)
    with torch.inference_mode():
        module(x)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            module(x)
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    found = peak_of(module, (1000, 64))
    assert found == pytest.approx(peak, rel=0.02)
    assert found == 4 * 1000 * (512 + 64 + 64)


def test_inputs_are_the_callers_and_outputs_live_to_the_end() -> None:
    found = trace_module(_Branches(), [((ROWS, 4), FLOAT)])
    both = Trace(found.inputs, found.ops, (*found.outputs, found.ops[1].writes[0].name))
    assert peak_bytes(live_buffers(both)) == peak_bytes(live_buffers(found))
    assert max(buffer.dies for buffer in live_buffers(both) if buffer.nbytes == ROWS * 256) == len(found.ops)

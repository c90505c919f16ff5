"""Which changes of layout XNNPACK has no need of, on traces made by hand."""

import pytest

from lira_export.memory.litert_plan import xnnpack_trace
from lira_export.memory.liveness import live_buffers, peak_bytes
from lira_export.memory.trace import Op, Trace, Value

NUMBERS = 1000


def line(*kinds: str) -> Trace:
    """Ops one after the other; tensor n has n + 1 rows of 1000 float32, the first is the input."""
    first, *values = (Value(number, (number + 1, NUMBERS), 4) for number in range(len(kinds) + 1))
    ops = tuple(Op(kind, (value.name - 1,), (value,)) for kind, value in zip(kinds, values, strict=True))
    return Trace((first,), ops, (values[-1].name,))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("linear", "permute", "conv2d"), ("linear", "reshape", "conv2d")),
        (("conv2d", "permute", "linear"), ("conv2d", "reshape", "linear")),
        (("conv2d", "relu", "transpose", "linear"), ("conv2d", "relu", "reshape", "linear")),
        (("linear", "permute", "linear"), ("linear", "permute", "linear")),
        (("linear", "relu", "transpose", "linear"), ("linear", "relu", "transpose", "linear")),
        (("conv2d", "sigmoid", "permute", "linear"), ("conv2d", "sigmoid", "permute", "linear")),
        (("permute", "linear"), ("permute", "linear")),
    ],
    ids="-".join,
)
def test_a_change_of_layout_vanishes_beside_a_convolution_alone(
    kinds: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    found = xnnpack_trace(line(*kinds))
    assert tuple(op.kind for op in found.ops) == expected
    assert [(op.reads, op.writes) for op in found.ops] == [(op.reads, op.writes) for op in line(*kinds).ops]


def test_one_that_vanishes_takes_no_memory() -> None:
    """Of layers of 2, 3 and 4 rows the first and the last are alive together, and the one between is the first."""
    beside, apart = line("linear", "permute", "conv2d"), line("linear", "permute", "linear")
    assert peak_bytes(live_buffers(xnnpack_trace(beside))) == 4 * NUMBERS * (2 + 4)
    assert peak_bytes(live_buffers(xnnpack_trace(apart))) == 4 * NUMBERS * (3 + 4)

"""The tensors inside the selective scan, each rounded by itself while the model runs.

A tensor is named by the call that makes it: a function of `lira.scan` or `lira.layers`, an operation, and which of that
operation's calls in the function it is. No arithmetic is repeated here; a call that is no longer made is an error.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lira.layers import SelectiveScan2D

Rounding = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Call:
    """The `nth` call of `operation` in `function`; `elements` are those of its results that count, all by default."""

    function: str
    operation: str
    nth: int = 0
    elements: tuple[int, ...] | None = None


SELECTIONS = "SelectiveScan2D.selections"
TENSORS: Mapping[str, tuple[Call, ...]] = {
    "x": (Call("_mix", "transpose", 0),),
    "B": (Call(SELECTIONS, "split", 0, (0, 1)),),
    "C": (Call(SELECTIONS, "div"),),
    "dt": (Call(SELECTIONS, "split", 1),),
    "A": (Call(SELECTIONS, "split", 2),),
    "a = dt A": (Call("_Chunk.of", "mul", 0),),
    "L, sums of a": (Call("_Chunk.of", "matmul", 1),),
    "gaps L_i - L_j": (Call("_difference_gap", "minimum"), Call("_segment_gap", "matmul")),
    "exp(gap)": (Call("_token_mixing", "exp"),),
    "C B^T": (Call("_Chunk.of", "matmul", 0),),
    "M": (Call("_token_mixing", "mul", 0),),
    "y": (Call("_mix", "transpose", 1),),
}
"""Within a chunk, in the order of computing."""
CARRIED: Mapping[str, tuple[Call, ...]] = {
    "chunk states": (Call("_between_chunks", "matmul", 0), Call("_between_chunks", "cat", 2)),
    "C e^L": (Call("_between_chunks", "cat", 1),),
}
"""What there is only where a row or column is longer than a chunk."""


@contextmanager
def scan_rounded(model: nn.Module, calls: tuple[Call, ...], rounding: Rounding) -> Iterator[None]:
    """While this lasts, the results of `calls` inside the model's `SelectiveScan2D`s are rounded.

    Raises:
        RuntimeError: at the end, where the model ran no such call.
    """
    scans = [module for module in model.modules() if isinstance(module, SelectiveScan2D)]
    met: set[Call] = set()

    def watched(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def run(u: Tensor) -> Tensor:
            with RoundCalls(calls, rounding, met):
                return forward(u)

        return run

    for scan in scans:
        scan.forward = watched(scan.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for scan in scans:
            del scan.forward
    if not met:
        raise RuntimeError(f"the scan makes none of these calls: {calls}")


class RoundCalls(TorchFunctionMode):
    """Rounds the results of some calls; `met` gathers those that were made."""

    def __init__(self, calls: tuple[Call, ...], rounding: Rounding, met: set[Call]) -> None:
        super().__init__()
        self._wanted = {(call.function, call.operation, call.nth): call for call in calls}
        self._rounding, self._met = rounding, met
        self._made: dict[FrameType, Counter[str]] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        frame = _caller()
        made = self._made.setdefault(frame, Counter())
        call = self._wanted.get((frame.f_code.co_qualname, func.__name__, made[func.__name__]))
        made[func.__name__] += 1
        if call is None:
            return result
        self._met.add(call)
        if isinstance(result, Tensor):
            return self._rounding(result)
        return tuple(
            self._rounding(each) if call.elements is None or index in call.elements else each
            for index, each in enumerate(result)
        )


def _caller() -> FrameType:
    """The frame that called PyTorch: the nearest outside it and this module."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals["__name__"].startswith("torch."):
        frame = frame.f_back
    assert frame is not None
    return frame

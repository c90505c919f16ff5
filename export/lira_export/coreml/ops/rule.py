"""How one type of op is run, and the one error for an op that cannot be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from coremltools.converters.mil.mil import Operation

from lira_runtime.errors import DamagedBundle

Kernel = Callable[..., Any]
"""Operands as tensors -> one tensor, or a sequence of them for an op with several outputs."""


class OpFailed(DamagedBundle):
    """An op of the program is unknown here, or does not give what the file declares; names its type and its name."""

    def __init__(self, op: Operation, reason: str) -> None:
        super().__init__(f"the Core ML op {op.op_type} '{op.name}' {reason}.")


@dataclass(frozen=True)
class Rule:
    """How PyTorch runs one type of op.

    operands: the inputs that are tensors, in the order in which the kernel takes them; one that the file leaves out is
    None, a list of tensors is spread. build: reads what else the op says, once, and returns the kernel. wide: float16
    operands reach the kernel as float32, so that sums inside the op are float32.
    """

    operands: tuple[str, ...]
    build: Callable[[Operation], Kernel]
    wide: bool = True


def fixed(op: Operation, name: str) -> Any:
    """The value of an input that must be a constant, None where the op has none. Raises OpFailed."""
    var = op.inputs.get(name)
    if var is None:
        return None
    if var.val is None:
        raise OpFailed(op, f"has an input '{name}' that is not a constant")
    return var.val


def fixed_integers(op: Operation, name: str) -> list[int]:
    """As `fixed`, for a list of integers; empty where the op has none."""
    value = fixed(op, name)
    return [] if value is None else [int(number) for number in value]

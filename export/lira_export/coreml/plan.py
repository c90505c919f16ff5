"""Plans the execution of a MIL function once: constants as tensors, a kernel for each op, lives of the values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.mil import Function, Operation, Var, types
from torch import Tensor

from lira_export.coreml.ops import RULES
from lira_export.coreml.ops.rule import Kernel, OpFailed

_DTYPES = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.uint16,
    "int32": torch.int32,
    "bool": torch.bool,
}
ABSENT = 0
"""The slot of an operand that the file leaves out."""


@dataclass(frozen=True)
class Declared:
    """Shape and dtype that the file declares for a value."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Step:
    """One op: `kernel` of the values in the slots `sources`, into the slots of `targets`.

    spent: the slots that no later step reads.
    """

    op: Operation
    kernel: Kernel
    sources: tuple[int, ...]
    targets: tuple[tuple[int, Declared], ...]
    spent: tuple[int, ...] = ()

    def results(self, values: Sequence[Tensor | None]) -> list[Tensor]:
        """Run the op and round to what the file declares. Raises OpFailed."""
        try:
            found = self.kernel(*[values[slot] for slot in self.sources])
        except OpFailed:
            raise
        except Exception as error:  # PyTorch's and the ops' own exceptions share no base but Exception
            raise OpFailed(self.op, f"failed: {error}") from error
        found = found if isinstance(found, tuple | list) else (found,)
        if len(found) != len(self.targets):
            raise OpFailed(self.op, f"gives {len(found)} values where the file declares {len(self.targets)}")
        return [_rounded(self.op, value, declared) for value, (_, declared) in zip(found, self.targets, strict=True)]


def _rounded(op: Operation, value: Tensor, declared: Declared) -> Tensor:
    if value.shape != declared.shape:
        raise OpFailed(op, f"gives the shape {tuple(value.shape)} where the file declares {declared.shape}")
    if value.dtype is declared.dtype:
        return value
    if _kind(value.dtype) != _kind(declared.dtype):
        raise OpFailed(op, f"gives {value.dtype} where the file declares {declared.dtype}")
    return value.to(declared.dtype)


def _kind(dtype: torch.dtype) -> str:
    return "float" if dtype.is_floating_point else "bool" if dtype is torch.bool else "integer"


@dataclass(frozen=True)
class Plan:
    """What to run: `values` has a slot for every value, filled where it is a constant."""

    steps: tuple[Step, ...]
    values: tuple[Tensor | None, ...]
    inputs: dict[str, tuple[int, Declared]]
    outputs: dict[str, tuple[int, Declared]]


def plan_function(function: Function) -> Plan:
    """Plan `function`. Raises OpFailed on the first op that neither PyTorch nor its own `value_inference` runs."""
    return _Planner(function).plan()


class _Planner:
    def __init__(self, function: Function) -> None:
        self._function = function
        self._values: list[Tensor | None] = [None]
        self._slots: dict[Var, int] = {}
        self._wide_constants: dict[Var, int] = {}
        self._constants: set[int] = {ABSENT}

    def plan(self) -> Plan:
        inputs = {name: self._declare(var) for name, var in self._function.inputs.items()}
        steps = [step for op in self._function.operations if (step := self._step(op)) is not None]
        outputs = {var.name: (self._slot(var), declared_by(var)) for var in self._function.outputs}
        kept = self._constants | {slot for slot, _ in outputs.values()}
        return Plan(_with_lives(steps, kept), tuple(self._values), inputs, outputs)

    def _step(self, op: Operation) -> Step | None:
        """None for an op that depends on constants alone: it is run here, once."""
        if op.op_type == "const" or op.op_type.startswith("constexpr_"):
            return None
        rule = RULES.get(op.op_type)
        if rule is not None:
            operands = list(_flat(op.inputs.get(name) for name in rule.operands))
            sources = tuple(self._slot(var, rule.wide) for var in operands)
            kernel = rule.build(op)
            if rule.wide and any(var is not None and var.dtype is types.fp16 for var in operands):
                kernel = _widened(kernel)
        else:
            variables = [var for var in _flat(op.inputs.values()) if var is not None and var.val is None]
            sources = tuple(self._slot(var) for var in variables)
            kernel = inferred(op, variables)
        step = Step(op, kernel, sources, tuple(self._declare(var) for var in op.outputs))
        if not self._constants.issuperset(sources):
            return step
        for (slot, _), value in zip(step.targets, step.results(self._values), strict=True):
            self._values[slot] = value
            self._constants.add(slot)
        return None

    def _declare(self, var: Var) -> tuple[int, Declared]:
        self._slots[var] = len(self._values)
        self._values.append(None)
        return self._slots[var], declared_by(var)

    def _slot(self, var: Var | None, wide: bool = False) -> int:
        """Where `var` lies; a float16 constant read by an op that sums lies there a second time, as float32."""
        if var is None:
            return ABSENT
        wide = wide and var.dtype is types.fp16
        known = self._slots.get(var)
        if known is None or known in self._constants:
            slots = self._wide_constants if wide else self._slots
            if var not in slots:
                value = _constant(var) if known is None else self._values[known]
                assert value is not None  # a constant's slot is filled when it is made
                slots[var] = len(self._values)
                self._values.append(value.float() if wide else value)
                self._constants.add(slots[var])
            return slots[var]
        return known


def inferred(op: Operation, variables: Sequence[Var]) -> Kernel:
    """The op's own `value_inference`, on values of `variables` as NumPy arrays; float16 ones as float32, for its sums.

    Raises OpFailed where the op has none.
    """
    if type(op).value_inference is Operation.value_inference or op.blocks:
        raise OpFailed(op, "is not implemented here and has no value_inference")

    def kernel(*values: Tensor) -> list[Tensor]:
        before = [var._sym_val for var in variables]
        try:
            for var, value in zip(variables, values, strict=True):
                array = (value.float() if value.dtype is torch.float16 else value).numpy()
                var._sym_val = SimpleNamespace(val=array if array.ndim else array[()])
            found = op.value_inference()
        finally:
            for var, known in zip(variables, before, strict=True):
                var._sym_val = known
        found = found if isinstance(found, tuple | list) else (found,)
        if any(value is None for value in found):
            raise OpFailed(op, "is not implemented here and has no value_inference for these inputs")
        return [torch.from_numpy(np.array(value)) for value in found]

    return kernel


def _widened(kernel: Kernel) -> Kernel:
    def widened(*values: Tensor | None) -> Any:
        return kernel(
            *[value.float() if value is not None and value.dtype is torch.float16 else value for value in values]
        )

    return widened


def _flat(operands: Iterable[Var | Sequence[Var] | None]) -> Iterable[Var | None]:
    for operand in operands:
        if isinstance(operand, tuple | list):
            yield from operand
        else:
            yield operand


def declared_by(var: Var) -> Declared:
    """What the file declares for `var`. Raises OpFailed for a type that is not implemented."""
    name = types.builtin_to_string(var.dtype)
    if name not in _DTYPES or any(not isinstance(size, int | float | np.number) for size in var.shape):
        raise OpFailed(var.op, f"has the type {name} and shape {tuple(var.shape)}, which are not implemented")
    return Declared(tuple(int(size) for size in var.shape), _DTYPES[name])


def _constant(var: Var) -> Tensor:
    """The value of a `const`, or of a `constexpr_*` as the op itself unpacks what the file stores."""
    value = var.val
    if value is None:
        unpacked = var.op.materialized_val_inference()
        value = unpacked[var.op.outputs.index(var)] if isinstance(unpacked, tuple) else unpacked
    tensor = torch.from_numpy(np.array(value))
    return _rounded(var.op, tensor, declared_by(var))


def _with_lives(steps: Sequence[Step], kept: set[int]) -> tuple[Step, ...]:
    """The steps with, for each, the slots that no later step reads; `kept` are never spent."""
    seen, lives = set(kept), []
    for step in reversed(steps):
        touched = {*step.sources, *(slot for slot, _ in step.targets)}
        lives.append(Step(step.op, step.kernel, step.sources, step.targets, tuple(touched - seen)))
        seen |= touched
    return tuple(reversed(lives))

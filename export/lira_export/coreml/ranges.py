"""Which tensors float16 cannot hold: the exported program is run on real inputs, every tensor of it watched.

A tensor is beyond float16 where its largest magnitude, over all inputs, exceeds 65504, or is not 0 and yet below the
smallest normal 6.1e-5, where Apple's Neural Engine rounds to 0; a divisor is already where its least magnitude is below
that. The ops that make or read it then stay float32.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, cast

import numpy as np
import torch
from coremltools.converters.mil.mil import Block, Operation
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from lira_export.coreml.convert import number_of, weight_paths

GREATEST, LEAST = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_normal)
PRODUCTS = (torch.ops.aten.linear.default, torch.ops.aten.conv2d.default)
DIVISORS: Mapping[Any, int] = {
    torch.ops.aten.div.Tensor: 1,
    torch.ops.aten.reciprocal.default: 0,
    torch.ops.aten.rsqrt.default: 0,
    torch.ops.aten.log.default: 0,
}
"""Ops that are infinite at 0, and which argument that is."""
UNSCALED = ("layer_norm", "batch_norm")
"""Ops whose small numbers are no factors: the epsilon of a norm may well be rounded."""


@dataclass(frozen=True)
class Beyond:
    """A tensor or scalar that float16 cannot hold: the magnitude beyond it, and the nodes that make and read it."""

    name: str
    magnitude: float
    nodes: frozenset[fx.Node]

    def __str__(self) -> str:
        return f"{self.name} ({self.magnitude:.1e})"


Range = tuple[float, float]
"""Least and largest value of a tensor."""


class RangeScan:
    """Watches one exported program, its inputs in the order of `names`; what it saw is asked for after all `run`s."""

    def __init__(self, program: ExportedProgram, names: Sequence[str]) -> None:
        self._program = program
        self._names = names
        self._ranges: dict[fx.Node, Range] = {}
        self._divisors: dict[fx.Node, float] = {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Run on named inputs and return the outputs, in the component's order."""
        with torch.inference_mode():
            outputs = _Watching(self._program.graph_module, self._ranges, self._divisors).run(*self._arguments(inputs))
        return tuple(output.numpy() for output in outputs)

    def beyond(self) -> list[Beyond]:
        """What float16 cannot hold, in the program's order."""
        largest = {node: max(-low, high) for node, (low, high) in self._ranges.items()}
        tensors = [Beyond(node.name, value, _touching(node)) for node, value in largest.items() if _is_beyond(value)]
        small = [(node, value) for node, value in self._divisors.items() if value < LEAST]
        divisors = [Beyond(f"{node.name} as a divisor", value, _touching(node)) for node, value in small]
        return [*tensors, *divisors, *self._scalars()]

    def product_inputs(self) -> dict[str, Range]:
        """Path of a linear layer's or convolution's weight -> range of what it multiplies."""
        paths, found = weight_paths(self._program), dict[str, Range]()
        for node in self._program.graph.nodes:
            if node.op == "call_function" and node.target in PRODUCTS and node.args[1].name in paths:
                path = paths[node.args[1].name]
                found[path] = _union(found.get(path, (0.0, 0.0)), self._ranges[node.args[0]])
        return found

    def _arguments(self, inputs: Mapping[str, NDArray[Any]]) -> Iterator[Tensor]:
        stored = {**self._program.constants, **self._program.state_dict}
        given = (torch.from_numpy(np.array(inputs[name])) for name in self._names)
        for spec in self._program.graph_signature.input_specs:
            if spec.kind == InputKind.USER_INPUT:
                yield next(given)
            else:
                yield stored[cast(str, spec.target)]

    def _scalars(self) -> Iterator[Beyond]:
        for node in self._program.graph.nodes:
            if node.op == "call_function" and not any(part in node.name for part in UNSCALED):
                for value in _factors(node):
                    if np.isfinite(value) and _is_beyond(abs(value)):
                        yield Beyond(f"a factor of {node.name}", abs(value), frozenset([node]))


class Float32Ops:
    """The selector of the ops that compute in float16: all but those at a tensor that float16 cannot hold.

    While anything is beyond float16, an op of unknown origin stays float32 too.
    """

    def __init__(self, beyond: Sequence[Beyond]) -> None:
        self._beyond = beyond
        self._kept: set[int | None] | None = None

    def __call__(self, op: Operation) -> bool:
        """Whether the op, of a program on which coremltools has done its fusions, computes in float16."""
        if self._kept is None:
            self._kept = self._numbers(op.enclosing_block)
        return not self._beyond or number_of(op) not in self._kept

    def names(self) -> tuple[str, ...]:
        """Of the tensors that float16 cannot hold."""
        return tuple(each.name for each in self._beyond)

    def _numbers(self, block: Block) -> set[int | None]:
        """Of the nodes whose ops stay float32; None is an op's of unknown origin."""
        present = {number_of(op) for op in block.operations if op.op_type != "const"}
        found: set[int | None] = {None}
        seen = set[fx.Node]()
        pending = [node for each in self._beyond for node in each.nodes]
        while pending:
            node = pending.pop()
            number = number_of(node)
            if number in present:
                found.add(number)
            elif node not in seen:  # those that read it read past it, or are fused with it
                pending.extend(node.users)
            seen.add(node)
        return found


class _Watching(fx.Interpreter):
    """Notes the ranges of all tensors, and the least magnitude of divisors but for 0."""

    def __init__(self, module: torch.nn.Module, ranges: dict[fx.Node, Range], divisors: dict[fx.Node, float]) -> None:
        super().__init__(module)
        self._ranges, self._divisors = ranges, divisors

    def run_node(self, n: fx.Node) -> Any:
        divisor = n.args[DIVISORS[n.target]] if n.target in DIVISORS else None
        if isinstance(divisor, fx.Node):
            values = np.abs(self.env[divisor].float().numpy())
            least = float(values.min(where=values > 0, initial=np.inf))
            self._divisors[divisor] = min(self._divisors.get(divisor, np.inf), least)
        result = super().run_node(n)
        if isinstance(result, Tensor) and result.is_floating_point() and n.op != "output" and result.numel():
            values = result.numpy()  # NumPy reduces tens of times faster than PyTorch on a CPU
            seen = (float(values.min()), float(values.max()))
            self._ranges[n] = _union(self._ranges.get(n, seen), seen)
        return result


def _union(a: Range, b: Range) -> Range:
    return float(np.minimum(a[0], b[0])), float(np.maximum(a[1], b[1]))


def _is_beyond(largest: float) -> bool:
    return not largest <= GREATEST or 0 < largest < LEAST


def _factors(node: fx.Node) -> Iterator[float]:
    """Scalars that an op computes with; coremltools multiplies by the inverse of a divisor."""
    yield from (value for value in (*node.args, *node.kwargs.values()) if isinstance(value, float))
    if node.target is torch.ops.aten.div.Tensor and isinstance(node.args[1], int | float) and node.args[1]:
        yield 1 / node.args[1]


def _touching(node: fx.Node) -> frozenset[fx.Node]:
    """The op that makes a tensor and those that read it."""
    maker = node
    while maker.target is getitem:  # an item of a tuple
        maker = cast(fx.Node, maker.args[0])
    return frozenset([maker, *node.users])

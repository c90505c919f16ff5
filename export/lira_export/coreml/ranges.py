"""Which tensors float16 cannot hold: the exported program is run on real inputs, every tensor of it watched.

A tensor is beyond float16 where its largest magnitude, over all inputs, exceeds 65504, or is not 0 and yet below the
smallest normal 6.1e-5, where Apple's Neural Engine rounds to 0. The ops that make or read it then stay float32.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any, cast

import numpy as np
import torch
from coremltools.converters.mil.mil import Operation
from numpy.typing import NDArray
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from lira_export.coreml.convert import weight_paths

GREATEST, LEAST = float(np.finfo(np.float16).max), float(np.finfo(np.float16).smallest_normal)
PRODUCTS = (torch.ops.aten.linear.default, torch.ops.aten.conv2d.default)
UNSCALED = ("layer_norm",)
"""Ops whose small numbers are no factors: the epsilon of a norm may well be rounded."""


@dataclass(frozen=True)
class Beyond:
    """A tensor or scalar that float16 cannot hold: its largest magnitude, and the nodes that make and read it."""

    name: str
    largest: float
    nodes: frozenset[str]

    def __str__(self) -> str:
        return f"{self.name} ({self.largest:.1e})"


Range = tuple[float, float]
"""Least and largest value of a tensor."""


class RangeScan:
    """Watches one exported program, its inputs in the order of `names`; what it saw is asked for after all `run`s."""

    def __init__(self, program: ExportedProgram, names: Sequence[str]) -> None:
        self._program = program
        self._names = names
        self._ranges: dict[fx.Node, Range] = {}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Run on named inputs and return the outputs, in the component's order."""
        with torch.inference_mode():
            outputs = _Watching(self._program.graph_module, self._ranges).run(*self._arguments(inputs))
        return tuple(output.numpy() for output in outputs)

    def beyond(self) -> list[Beyond]:
        """What float16 cannot hold, in the program's order."""
        largest = {node: max(-low, high) for node, (low, high) in self._ranges.items()}
        tensors = [Beyond(node.name, value, _touching(node)) for node, value in largest.items() if _is_beyond(value)]
        return tensors + list(self._scalars())

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
                for value in (*node.args, *node.kwargs.values()):
                    if isinstance(value, float) and np.isfinite(value) and _is_beyond(abs(value)):
                        yield Beyond(f"a factor of {node.name}", abs(value), frozenset([node.name]))


class Float32Ops:
    """The selector of the ops that compute in float16: all but those at a tensor that float16 cannot hold."""

    def __init__(self, beyond: Sequence[Beyond]) -> None:
        self._beyond = beyond
        self._touching = frozenset[str]().union(*(each.nodes for each in beyond))
        self.kept: set[str] = set()

    def __call__(self, op: Operation) -> bool:
        """Whether the op computes in float16."""
        names = {op.name, *(output.name for output in op.outputs)} & self._touching
        self.kept |= names
        return not names

    def names(self) -> tuple[str, ...]:
        """Of the tensors that float16 cannot hold."""
        return tuple(each.name for each in self._beyond)

    def lost(self) -> list[Beyond]:
        """Those of which no op was found in the ML Program: fused into others, which compute in float16."""
        return [each for each in self._beyond if not each.nodes & self.kept]


class _Watching(fx.Interpreter):
    def __init__(self, module: torch.nn.Module, ranges: dict[fx.Node, Range]) -> None:
        super().__init__(module)
        self._ranges = ranges

    def run_node(self, n: fx.Node) -> Any:
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


def _touching(node: fx.Node) -> frozenset[str]:
    """The op that makes a tensor and those that read it; taking an item of a tuple is no op of an ML Program."""
    return frozenset([_maker(node).name, *(reader.name for reader in _readers(node))])


def _maker(node: fx.Node) -> fx.Node:
    while node.target is getitem:
        node = cast(fx.Node, node.args[0])
    return node


def _readers(node: fx.Node) -> Iterator[fx.Node]:
    for reader in node.users:
        if reader.target is getitem:
            yield from _readers(reader)
        elif reader.op == "call_function":
            yield reader

"""What the recipes of the ONNX target make of a trace: the ops that quantized graphs have and PyTorch has not.

It mirrors `lira_export.onnx.products` and `.hidden`, as far as memory is concerned: activations that are quantized as
they come, row by row or as a whole; integer products; hidden layers of the Mix-FFN that stay in 8 bits.
"""

from collections.abc import Callable, Collection
from itertools import count

from lira_export.memory.trace import Op, Trace, Value

Quantized = Callable[[str], bool]
"""Whether the product of the module at a path has integer weights."""
HIDDEN_KINDS = ("permute", "conv2d", "relu")
"""Ops between the two products of a Mix-FFN."""
ROW_PASSES = ("div", "round", "add", "round", "clamp")
"""Passes over an activation that is quantized row by row, before it is cast to 8 bits."""


def lowered(trace: Trace, quantized: Quantized, hidden: Collection[str], by_token: bool) -> Trace:
    """The trace with its quantized products as the exported graph has them.

    hidden: paths of the Mix-FFNs whose hidden layer stays in 8 bits. by_token: rows have ranges of their own.
    """
    lowering = _Lowering(trace, quantized, hidden, by_token)
    for op in trace.ops:
        lowering.add(op)
    return Trace(trace.inputs, tuple(lowering.ops), trace.outputs)


class _Lowering:
    def __init__(self, trace: Trace, quantized: Quantized, hidden: Collection[str], by_token: bool) -> None:
        self.ops: list[Op] = []
        self._quantized, self._hidden, self._by_token = quantized, hidden, by_token
        self._values = {value.name: value for value in trace.inputs}
        self._values |= {value.name: value for op in trace.ops for value in op.writes}
        self._names = count(max(self._values, default=0) + 1)
        self._in_bytes: dict[int, int] = {}
        """Names of float tensors -> of the same in 8 bits."""
        self._inside: set[int] = set()
        """Float tensors inside a hidden layer, which the graph has in 8 bits only."""

    def add(self, op: Op) -> None:
        if op.kind in HIDDEN_KINDS and op.reads[0] in self._inside:
            # Changes of layout and ReLU vanish into the convolution.
            self._stay_inside("conv2d" if op.kind == "conv2d" else "reshape", self._in_bytes[op.reads[0]], op.writes[0])
        elif op.kind != "linear" or not self._quantized(op.owner):
            self.ops.append(op)
        elif op.owner.removesuffix(".fc1") in self._hidden:
            self._stay_inside("linear", self._quantize(op.reads[0]), op.writes[0])
        else:
            self._product(op)

    def _stay_inside(self, kind: str, x: int, value: Value) -> None:
        self._inside.add(value.name)
        self._in_bytes[value.name] = self._emit(kind, (x,), value.shape, 1)

    def _product(self, op: Op) -> None:
        value, x = op.writes[0], self._quantize(op.reads[0])
        if not self._by_token and op.reads[0] not in self._inside:
            self.ops.append(Op("linear", (x,), (value,)))  # onnxruntime joins the product and its scaling
            return
        result = self._emit("cast", (self._emit("linear", (x,), value.shape, 4),), value.shape, 4)
        for kind in ("sub", "add") if self._by_token else ():
            result = self._emit(kind, (result,), value.shape, 4)
        self.ops.append(Op("mul", (result,), (value,)))

    def _quantize(self, name: int) -> int:
        """The tensor in 8 bits, once for all products that read it."""
        if name not in self._in_bytes:
            shape, result = self._values[name].shape, name
            for kind in ROW_PASSES if self._by_token else ():
                result = self._emit(kind, (result,), shape, 4)
            self._in_bytes[name] = self._emit("quantize", (result,), shape, 1)
        return self._in_bytes[name]

    def _emit(self, kind: str, reads: tuple[int, ...], shape: tuple[int, ...], itemsize: int) -> int:
        value = Value(next(self._names), shape, itemsize)
        self.ops.append(Op(kind, reads, (value,)))
        return value.name

"""What LiteRT with XNNPACK makes of a trace, as far as memory is concerned.

XNNPACK gives every tensor a place in one block by its lifetime, whatever its shape: what is alive together, and gaps.
"""

from dataclasses import replace

from lira_export.memory.trace import Op, Trace

LAYOUTS = ("permute", "transpose")


def xnnpack_trace(trace: Trace) -> Trace:
    """The trace with channels last, as XNNPACK's convolutions have them: no change of layout around a convolution."""
    written = {value.name: op for op in trace.ops for value in op.writes}
    convolved = {name for op in trace.ops if op.kind == "conv2d" for name in op.reads}

    def vanishes(op: Op) -> bool:
        if op.kind not in LAYOUTS:
            return False
        before = written.get(op.reads[0])
        while before is not None and before.kind == "relu":
            before = written.get(before.reads[0])
        return op.writes[0].name in convolved or (before is not None and before.kind == "conv2d")

    ops = tuple(replace(op, kind="reshape") if vanishes(op) else op for op in trace.ops)
    return Trace(trace.inputs, ops, trace.outputs)

"""Which memory is needed at the same time: a buffer lives from the op that writes it to the last op that reads it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lira_export.memory.trace import Trace

ALIASES = frozenset(
    "_unsafe_view alias contiguous detach expand flatten reshape squeeze unflatten unsqueeze view".split()
)
"""Kinds of ops whose result is their first input under another shape, without a copy."""
IN_PLACE = frozenset("add clamp div exp gelu mul neg relu rsub sigmoid silu softplus sub".split())
"""Kinds of ops that may write over an input of the same size, where nobody reads that any more."""


@dataclass(frozen=True)
class Buffer:
    """Memory of one tensor, or of several that take turns in it; born and dies are numbers of ops, both within."""

    nbytes: int
    born: int
    dies: int


def peak_bytes(buffers: Iterable[Buffer]) -> int:
    """The most bytes that are alive at one op."""
    change: defaultdict[int, int] = defaultdict(int)
    for buffer in buffers:
        change[buffer.born] += buffer.nbytes
        change[buffer.dies + 1] -= buffer.nbytes
    alive = peak = 0
    for op in sorted(change):
        alive += change[op]
        peak = max(peak, alive)
    return peak


def live_buffers(trace: Trace) -> list[Buffer]:
    """The fewest buffers that the trace can do with: freed at once, shared by aliases and by ops in place.

    Outputs live to the end; inputs are the caller's and count nothing.
    """
    last = last_reads(trace)
    holder = {value.name: value.name for value in trace.inputs}
    born: dict[int, int] = {}
    dies = {value.name: len(trace.ops) for value in trace.inputs}
    size: dict[int, int] = {}
    for number, op in enumerate(trace.ops):
        free = [root for root in dict.fromkeys(holder[name] for name in op.reads) if dies[root] == number]
        for value in op.writes:
            root = value.name
            if op.kind in ALIASES:
                root = holder[op.reads[0]]
            elif op.kind in IN_PLACE:
                root = next((each for each in free if size.get(each) == value.nbytes), root)
            if root == value.name:
                born[root], size[root] = number, value.nbytes
            holder[value.name] = root
            dies[root] = max(dies.get(root, 0), last[value.name])
    return [Buffer(size[root], born[root], dies[root]) for root in born]


def last_reads(trace: Trace) -> dict[int, int]:
    """Number of the last op that reads each tensor: its own op where none does, the last of all for an output."""
    last = {value.name: number for number, op in enumerate(trace.ops) for value in op.writes}
    for number, op in enumerate(trace.ops):
        for name in op.reads:
            last[name] = number
    return last | {name: len(trace.ops) for name in trace.outputs}

"""The workspace of a run as onnxruntime lays it out.

onnxruntime fixes before a run which tensor takes which buffer. A tensor takes the buffer of another that nobody reads
any more only where shape and element size are the same, and a buffer is given back after the last of the tensors that
take turns in it. So its workspace is not what is alive at one time, but nearly the sum, over the shapes that occur, of
the most tensors of a shape that are alive together.
"""

from collections import Counter, defaultdict

from lira_export.memory.liveness import ALIASES, IN_PLACE, Buffer
from lira_export.memory.trace import Op, Trace, Value

Kind = tuple[tuple[int, ...], int]


def in_runtime_order(trace: Trace) -> Trace:
    """The ops in onnxruntime's order: backwards from the outputs, depth first, an op's latest input first."""
    maker = {value.name: number for number, op in enumerate(trace.ops) for value in op.writes}
    read = {name for op in trace.ops for name in op.reads}
    stack = [(n, False) for n, op in enumerate(trace.ops) if not any(value.name in read for value in op.writes)]
    seen: set[int] = set()
    order: list[Op] = []
    while stack:
        number, is_done = stack.pop()
        if is_done:
            order.append(trace.ops[number])
        elif number not in seen:
            seen.add(number)
            stack.append((number, True))
            stack += [(each, False) for each in sorted({maker[n] for n in trace.ops[number].reads if n in maker})]
    return Trace(trace.inputs, tuple(order), trace.outputs)


def planned_buffers(trace: Trace) -> list[Buffer]:
    """One buffer for each that onnxruntime would allocate in this order of ops; inputs are the caller's."""
    plan = _Plan(trace)
    for number, op in enumerate(trace.ops):
        for value in op.writes:
            plan.place(op, value, number)
        plan.release(op, number)
    return plan.buffers()


class _Plan:
    """onnxruntime's allocation planner: use counts of buffers, and those that are free, by shape and element size."""

    def __init__(self, trace: Trace) -> None:
        self._reads = Counter(name for op in trace.ops for name in op.reads)
        self._reads.update(trace.outputs)  # the caller reads them last
        self._outputs = set(trace.outputs)
        self._end = len(trace.ops)
        self._holder = {value.name: value.name for value in trace.inputs}
        self._inputs = set(self._holder)
        self._value: dict[int, Value] = {}
        self._uses: dict[int, int] = {}
        self._free: defaultdict[Kind, list[int]] = defaultdict(list)
        self._born: dict[int, int] = {}
        self._dies: dict[int, int] = {}

    def place(self, op: Op, value: Value, number: int) -> None:
        """Give a new tensor a buffer: its input's, a free one of its shape, or a new one."""
        root = None if value.name in self._outputs else self._input_to_take(op, value)
        free = self._free[_kind(value)]
        if root is None and free and value.name not in self._outputs:
            root = free.pop()
        if root is None:
            root = value.name
            self._born[root], self._uses[root] = number, 0
        self._holder[value.name], self._value[value.name] = root, value
        if root in self._uses:
            self._uses[root] += self._reads[value.name]
            self._dies.pop(root, None)

    def _input_to_take(self, op: Op, value: Value) -> int | None:
        if op.kind in ALIASES:
            return self._holder[op.reads[0]]
        if op.kind in IN_PLACE:
            for name in op.reads[:2]:
                root = self._holder[name]
                if self._uses.get(root) == 1 and _kind(self._value[name]) == _kind(value):
                    return root
        return None

    def release(self, op: Op, number: int) -> None:
        """Count the op's reads, and free what nobody will read again."""
        for root in [self._holder[name] for name in op.reads]:
            if root in self._uses:
                self._uses[root] -= 1
        for name in (*op.reads, *(value.name for value in op.writes)):
            root = self._holder[name]
            if self._uses.get(root) == 0 and root not in self._dies:
                self._dies[root] = number
                self._free[_kind(self._value[root])].append(root)

    def buffers(self) -> list[Buffer]:
        """Everything that was allocated, from its first writer to its last reader."""
        return [
            Buffer(self._value[root].nbytes, born, self._dies.get(root, self._end)) for root, born in self._born.items()
        ]


def _kind(value: Value) -> Kind:
    return value.shape, value.itemsize

"""Which tensors a component makes as it runs, in which order, from their shapes alone.

The traceable module runs once on PyTorch's meta device, where tensors have shapes and no memory. In inference mode a
dispatch mode sees its operators whole (linear, layer_norm, softmax), nearly one for one the nodes that the exporters
write. What depends on weights and constants alone is no op here: every converter folds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from lira_export.components import DTYPES, Component


@dataclass(frozen=True)
class Value:
    """One tensor: a number that names it, its shape, and the bytes of an element."""

    name: int
    shape: tuple[int, ...]
    itemsize: int

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor."""
        return prod(self.shape) * self.itemsize


@dataclass(frozen=True)
class Op:
    """One operator: its name without namespace and overload ("linear"), tensors read, by name, and tensors written.

    owner: path of the module that it is part of; "" for the outermost. Weights and constants are not among its reads.
    """

    kind: str
    reads: tuple[int, ...]
    writes: tuple[Value, ...]
    owner: str = ""


@dataclass(frozen=True)
class Trace:
    """Inputs, ops in the order in which they ran, and the names of the outputs."""

    inputs: tuple[Value, ...]
    ops: tuple[Op, ...]
    outputs: tuple[int, ...]


def trace(component: Component) -> Trace:
    """The ops of a component's traceable module; weights, real or on the meta device, are left as they are."""
    return trace_module(component.traceable, [(spec.shape, DTYPES[spec.dtype]) for spec in component.inputs])


@torch.inference_mode()
def trace_module(module: nn.Module, inputs: Sequence[tuple[tuple[int, ...], torch.dtype]]) -> Trace:
    """The ops of any module on positional inputs of these shapes and dtypes."""
    tensors = chain(module.named_parameters(), module.named_buffers())
    state = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}
    recorder = _Recorder(module)
    try:
        with torch.device("meta"), recorder:
            given = tuple(torch.empty(shape, dtype=dtype) for shape, dtype in inputs)
            values = tuple(recorder.name(tensor) for tensor in given)
            found = torch.func.functional_call(module, state, given)
    finally:
        recorder.stop()
    outputs = tuple(recorder.names[tensor].name for tensor in tree_leaves(found))
    return Trace(values, tuple(recorder.ops), outputs)


class _Recorder(TorchDispatchMode):
    """Writes down every operator that depends on a named tensor, and names what it returns."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.names: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.ops: list[Op] = []
        self._paths, self._hooks, self._count = [""], [], 0
        for path, child in module.named_modules():
            self._hooks.append(child.register_forward_pre_hook(lambda *_, path=path: self._paths.append(path)))
            self._hooks.append(child.register_forward_hook(lambda *_: self._leave()))

    def name(self, tensor: Tensor) -> Value:
        value = Value(self._count, tuple(tensor.shape), tensor.element_size())
        self._count += 1
        self.names[tensor] = value
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read = [self.names[leaf].name for leaf in tree_leaves((args, kwargs)) if self._is_named(leaf)]
        if read:
            written = tuple(self.name(leaf) for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
            kind = func.overloadpacket._qualified_op_name.partition("::")[2]
            self.ops.append(Op(kind, tuple(read), written, self._paths[-1]))
        return result

    def _is_named(self, leaf: Any) -> bool:
        return isinstance(leaf, Tensor) and leaf in self.names

    def _leave(self) -> None:
        self._paths.pop()

    def stop(self) -> None:
        """Leave the module as it was."""
        for hook in self._hooks:
            hook.remove()

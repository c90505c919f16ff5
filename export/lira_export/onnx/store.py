"""External weights on disk: one file for several graphs, each tensor in it once."""

import errno
import hashlib
import os
from pathlib import Path

import onnx_ir as ir

EXTERNAL_FROM_BYTES = 1024
ALIGNMENT, PAGE, PAGE_FROM_BYTES = 64, 4096, 1 << 20
"""In bytes; large tensors start on a page of memory, so that they can be mapped on their own."""


class WeightStore:
    """Appends tensors to `path`; one whose bytes, dtype and shape are there already is referred to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, ir.ExternalTensor] = {}

    def save(self, model: ir.Model, graph: Path) -> None:
        """Write `graph`, with its large weights in the store."""
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            if tensor is not None and tensor.nbytes >= EXTERNAL_FROM_BYTES:
                value.const_value = self._placed(tensor, name)
        ir.save(model, graph)

    def files(self) -> tuple[Path, ...]:
        """The file of weights, where anything was large enough for it."""
        return (self.path,) if self.path.exists() else ()

    def _placed(self, tensor: ir.TensorProtocol, name: str) -> ir.ExternalTensor:
        data = tensor.tobytes()
        key = f"{hashlib.sha256(data).hexdigest()} {tensor.dtype} {tensor.shape}"
        if key not in self._places:
            self._places[key] = self._append(data, tensor)
        found = self._places[key]
        place, shape, folder = (found.offset, found.length), found.shape, self.path.parent
        return ir.ExternalTensor(self.path.name, *place, tensor.dtype, shape=shape, name=name, base_dir=folder)

    def _append(self, data: bytes, tensor: ir.TensorProtocol) -> ir.ExternalTensor:
        alignment = PAGE if len(data) >= PAGE_FROM_BYTES else ALIGNMENT
        with open(self.path, "ab") as file:
            file.write(bytes(-file.tell() % alignment))
            offset = file.tell()
            file.write(data)
        shape = ir.Shape(tensor.numpy().shape)
        return ir.ExternalTensor(self.path.name, offset, len(data), tensor.dtype, shape=shape, name="stored")


def save_alone(model: ir.Model, graph: Path) -> None:
    """Write a graph with weights of its own beside it."""
    try:
        ir.save(model, graph, external_data=f"{graph.name}.data", size_threshold_bytes=EXTERNAL_FROM_BYTES)
    except OSError as error:
        # NumPy reports a short write without saying why; there is one reason for it.
        raise error if error.errno else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(graph)) from error

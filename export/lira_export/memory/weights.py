"""Weights of a component by recipe: how the file stores them, and what they take once an engine has loaded them."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from lira.layers import MixFFN
from lira_export.memory.network import Network
from lira_export.recipes import Recipe
from lira_runtime.interface import PROMPT_TOKENS
from lira_runtime.manifest import TargetName

LEAST_INT8, LEAST_HALF = 1024, 2048
"""Elements of the smallest weight that ONNX stores as int8 and as float16; see `onnx.products` and `onnx.half`."""
ITEMSIZE = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "int4": 0.5}
READ_AROUND = 64 << 10
"""Bytes of a file that the system reads where one byte is touched."""


@dataclass(frozen=True)
class Weight:
    """One tensor: path of its module, elements, dtype in the file, bytes of an element once it is loaded.

    is_table: rows are looked up in it, so that a run touches few of its pages.
    """

    path: str
    elements: int
    stored: str
    held_itemsize: float
    is_table: bool = False

    def touched_bytes(self, unpacks: bool) -> int:
        """In memory after a prompt: of a table in a mapped file, the pages of the rows that are looked up.

        unpacks: whether loading unpacks a table in float16, as a whole; else the file that is mapped has it unpacked.
        """
        if not self.is_table or (unpacks and self.stored == "float16"):
            return self.held_bytes
        return min(self.held_bytes, PROMPT_TOKENS * READ_AROUND)

    @property
    def stored_bytes(self) -> int:
        """In the file."""
        return int(self.elements * ITEMSIZE[self.stored])

    @property
    def held_bytes(self) -> int:
        """In memory, all pages counted."""
        return int(self.elements * self.held_itemsize)


def weights_of(network: Network, recipe: Recipe, target: TargetName) -> list[Weight]:
    """Every parameter and buffer of the traceable module; scales of quantized weights are left out, being below 1 %."""
    rule = _OnnxRule if target == "onnx" else _TfliteRule
    return list(rule(network, recipe).weights())


class _Rule:
    """How one target stores and loads tensors."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self.component, self.recipe = network.component, recipe
        self.tables = {op.owner for op in network.trace.ops if op.kind == "embedding"}
        modules = network.component.traceable.named_modules()
        self.hidden = {path for path, module in modules if isinstance(module, MixFFN)}

    def weights(self) -> Iterator[Weight]:
        for path, module in self.component.traceable.named_modules():
            tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            for name, tensor in tensors:
                stored, held = self.place(path, module, name, tensor)
                yield Weight(path, tensor.numel(), stored, held, path in self.tables)

    def place(self, path: str, module: nn.Module, name: str, tensor: Tensor) -> tuple[str, float]:
        """Dtype in the file, and bytes of an element in memory."""
        raise NotImplementedError

    def quantizes(self, path: str, name: str) -> bool:
        """Whether the recipe makes integers of a module's weight."""
        return self.recipe.quantizes and name == "weight" and not self.recipe.keeps_float(self.component.name, path)


class _OnnxRule(_Rule):
    def place(self, path: str, module: nn.Module, name: str, tensor: Tensor) -> tuple[str, float]:
        if self.quantizes(path, name) and tensor.numel() >= LEAST_INT8:
            if isinstance(module, nn.Linear) or path in self.tables:
                return "int8", 1
            if isinstance(module, nn.Conv2d) and path.removesuffix(".conv") in self.hidden and self.recipe.calibrated:
                return "int8", 1
            if isinstance(module, nn.Conv2d) and tensor.shape[1] > 1:
                return "int8", 4
        if self.recipe.dtype != "float32" and tensor.ndim >= 2 and tensor.numel() >= LEAST_HALF:
            return "float16", 4
        return "float32", 4


class _TfliteRule(_Rule):
    def place(self, path: str, module: nn.Module, name: str, tensor: Tensor) -> tuple[str, float]:
        if path in self.tables and self.recipe.dtype == "float16":
            return "float16", 6  # LiteRT unpacks it beside the pages of its file
        is_layer = (isinstance(module, nn.Linear | nn.Conv2d) or path in self.tables) and name == "weight"
        if is_layer and self.recipe.dtype == "float16":
            return "float16", 4
        if is_layer and self.quantizes(path, name) and not _is_depthwise(module):
            four_bits = self.recipe.dtype == "int4" and not isinstance(module, nn.Conv2d)
            return ("int4", 0.5) if four_bits else ("int8", 1)
        return "float32", 4


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups > 1 and module.weight.shape[1] == 1

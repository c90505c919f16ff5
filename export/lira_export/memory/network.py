"""A component with its trace, and the workspace that an engine plans for it."""

import functools
from dataclasses import dataclass

from lira.layers import MixFFN
from lira_export.components import Component
from lira_export.memory.litert_plan import xnnpack_trace
from lira_export.memory.liveness import live_buffers, peak_bytes
from lira_export.memory.onnx_lowering import lowered
from lira_export.memory.onnx_plan import in_runtime_order, planned_buffers
from lira_export.memory.trace import Trace, trace
from lira_export.recipes import RECIPES
from lira_runtime.interface import TEXT_ENCODER
from lira_runtime.manifest import TargetName


@dataclass(frozen=True, eq=False)
class Network:
    """A component and its trace, which no recipe changes; resolution in px, None for the text encoder."""

    component: Component
    trace: Trace
    resolution: int | None

    @classmethod
    def of(cls, component: Component, resolution: int | None) -> "Network":
        """Trace a component; its weights may be on the meta device."""
        return cls(component, trace(component), resolution)

    @property
    def has_products(self) -> bool:
        """Whether it has a matrix product with weights; else it is a network of convolutions."""
        return any(op.kind == "linear" for op in self.trace.ops)


@dataclass(frozen=True)
class Workspace:
    """What an engine makes of a network: ops of its graph, and bytes that it plans for a run."""

    ops: int
    nbytes: int


@functools.lru_cache(maxsize=256)
def workspace(network: Network, target: TargetName, recipe_name: str) -> Workspace:
    """The plan for one recipe."""
    component, recipe = network.component, RECIPES[recipe_name]

    if target == "tflite":
        graph = xnnpack_trace(network.trace)
        return Workspace(len(graph.ops), peak_bytes(live_buffers(graph)))

    def quantized(path: str) -> bool:
        return recipe.quantizes and not recipe.keeps_float(component.name, path)

    modules = component.traceable.named_modules()
    hidden = {path for path, module in modules if isinstance(module, MixFFN) and recipe.calibrated and recipe.quantizes}
    graph = lowered(network.trace, quantized, hidden, by_token=component.name == TEXT_ENCODER)
    return Workspace(len(graph.ops), peak_bytes(planned_buffers(in_runtime_order(graph))))

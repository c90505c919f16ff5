"""What every target does: write one component's files, run them, and say what they hold."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lira.sources import Models
from lira_export.components import Component
from lira_export.parity import Sample
from lira_export.recipes import Recipe
from lira_runtime.backends.protocol import Backend
from lira_runtime.manifest import Graph, TargetName

Say = Callable[[str], None]
ENTRY = "main"
"""Of a file's only graph."""
Resolution = int | None
"""Side of the picture in px; None for the text encoder, which knows no picture."""


@dataclass(frozen=True)
class Job:
    """One component to write into `folder` by a recipe.

    variants and samples: the traceable component, and inputs with eager's outputs, by resolution, the bundle's first
    resolution first. All variants have the same weights, which the files hold once. models: where they come from, for
    recipes that must see real drawings.
    """

    name: str
    variants: Mapping[Resolution, Component]
    samples: Mapping[Resolution, list[Sample]]
    recipe: Recipe
    models: Models
    folder: Path
    say: Say

    def file_stem(self, resolution: Resolution) -> str:
        """Of a file that holds one variant: the component's name, with the resolution where there are several."""
        return self.name if len(self.variants) == 1 else f"{self.name}-{resolution}"

    def entry(self, resolution: Resolution) -> str:
        """Of a variant in a file that holds all of them."""
        return ENTRY if len(self.variants) == 1 else f"r{resolution}"

    def graph(self, resolution: Resolution, path: str, entry: str) -> Graph:
        """The manifest's record of one variant."""
        variant = self.variants[resolution]
        return Graph(path=path, entry=entry, resolution=resolution, inputs=variant.inputs, outputs=variant.outputs)


@dataclass(frozen=True)
class Written:
    """The files that a job left: every file in the component's name under `folder` belongs to it.

    float32_max_abs and kept_float32: see `lira_runtime.manifest_entries`.
    """

    graphs: tuple[Graph, ...]
    files: tuple[Path, ...]
    float32_max_abs: float | None = None
    kept_float32: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """What the files of one graph hold, read from the files.

    ops: by kind. products: matrix products and convolutions by the stored dtype of their weights, "int4" to "float32".
    weight_bytes and weight_elements: by stored dtype; scales and tables count under their own. highest_rank: of any
    tensor. undelegated: ops that the target's accelerated kernels leave to others, by kind.
    """

    ops: Counter[str]
    products: Counter[str]
    weight_bytes: Counter[str]
    weight_elements: Counter[str]
    highest_rank: int
    undelegated: Counter[str] = field(default_factory=Counter)


class Target(Protocol):
    """One format. Its module alone imports the format's own libraries."""

    name: TargetName
    requires: str | None
    """The oldest system that runs what it writes; None where there is no such bound."""
    tools: tuple[str, ...]
    """Distributions whose versions decide what comes out."""
    segment_sums: bool
    """Whether its graphs compute in float16 and so want the scan's log-decays as exact sums."""

    def write(self, job: Job) -> Written:
        """Write one component. Raises ParityLost where its float32 graph is not the eager model's."""

    def backend(self) -> Backend:
        """What runs the files on this machine."""

    def inventory(self, graph: Graph, folder: Path) -> Inventory:
        """What one graph's files hold."""

"""What stops an export: a component that is not the eager model's, or whose weights are still float."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lira_export.guard import check_lowering
from lira_export.loaded import run_stage
from lira_export.parity import cosine, outputs_of, psnr_db
from lira_export.recipes import Recipe
from lira_export.target import Inventory, Job, Target, Written
from lira_runtime.errors import DamagedBundle, ParityLost
from lira_runtime.interface import IMAGE_ENCODER
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import Contents, Parity, TargetName, WeightsMode

MOST_DB = 200.0
"""Stands for equality in a manifest, which has no infinity."""
BITS: Mapping[str, int] = {
    "float64": 64,
    "int64": 64,
    "float32": 32,
    "int32": 32,
    "float16": 16,
    "bfloat16": 16,
    "int4": 4,
    **{f"uint{bits}": bits for bits in range(1, 8)},
}
"""Of a stored number; whatever is not here has 8."""
MOST_NARROWER = 0.01
"""Share of the weights, by number, that may have fewer bits than the recipe says: masks and the like."""
MOST_WIDER = 0.5
"""Share, by number, that may have more than a float recipe says: vectors, and what float16 cannot hold."""
MEASURABLE_BYTES = 64 << 20
"""Float32 weights below this drown in what a process takes on anyway."""
UNPACKED: Mapping[TargetName, tuple[str, ...]] = {"onnx": ("decoder", IMAGE_ENCODER)}
"""Networks of convolutions, which run in float32: ONNX Runtime unpacks their int8 weights when it loads them."""


def check_files(target: Target, job: Job, written: Written) -> tuple[Inventory, ...]:
    """Read what the files of each graph hold.

    Raises ParityLost where one holds what the guard forbids, or is not quantized as it should be.
    """
    inventories = tuple(target.inventory(graph, job.folder) for graph in written.graphs)
    for inventory in inventories:
        check_lowering(target.name, job.name, inventory)
        check_quantized(job.name, job.recipe, inventory)
    return inventories


def measure_parity(target: Target, job: Job, written: Written) -> Parity:
    """Run the files written on every sample, at every resolution.

    Raises ParityLost where one cannot be run, which no order forgives.
    """
    backend, found = target.backend(), []
    for graph in written.graphs:
        samples = job.samples[graph.resolution]
        try:
            outputs = outputs_of(backend, graph, job.folder, samples)
        except DamagedBundle as error:
            raise ParityLost(f"{job.name}: {error}") from error
        for output, sample in zip(outputs, samples, strict=True):
            found.append((psnr_db(output, sample.reference), cosine(output, sample.reference)))
    worst, angle = (min(column) for column in zip(*found, strict=True))
    psnr = max(min(worst, MOST_DB), -MOST_DB)
    threshold = job.recipe.least_psnr_db[job.name]
    return Parity(
        float32_max_abs=written.float32_max_abs,
        psnr_db=psnr,
        cosine=angle,
        threshold_db=threshold,
        passed=bool(psnr >= threshold),
    )


@dataclass(frozen=True)
class Inspected:
    """What a component's files hold, and what each of its graphs takes in memory; None where none can be loaded."""

    contents: Contents
    runs: tuple[StageRun | None, ...]


def inspect(
    target: Target, job: Job, written: Written, inventories: Sequence[Inventory], weights: WeightsMode = "packed"
) -> Inspected:
    """Load the files, of which `check_files` found `inventories`, as `weights` says.

    Raises ParityLost where the runtime unpacks what they hold.
    """
    first = inventories[0]
    runs = tuple(run_stage(target.name, graph, job.folder, weights) for graph in written.graphs)
    if runs[0] is not None and job.name not in UNPACKED.get(target.name, ()):
        check_loaded(job.name, job.recipe, first, runs[0].unrun_bytes)
    contents = Contents(
        ops=dict(sorted(first.ops.items())),
        products=dict(sorted(first.products.items())),
        weight_bytes=dict(sorted(first.weight_bytes.items())),
        loaded_bytes=None if runs[0] is None else runs[0].loaded_bytes,
        kept_float32=written.kept_float32,
    )
    return Inspected(contents, runs)


def check_quantized(component: str, recipe: Recipe, inventory: Inventory) -> None:
    """Raise ParityLost where the stored weights are narrower than the recipe says, or more are wider than it allows."""
    narrower = _share(inventory, partial(operator.gt, _bits(recipe.dtype)))
    if narrower > MOST_NARROWER:
        said = f"{component}: {narrower:.0%} of the weights in the file are narrower than {recipe.dtype}"
        raise ParityLost(f"{said}, which is not what recipe {recipe.name} says.", "not_quantized")
    for dtype, most in _most_wider(component, recipe).items():
        share = _share(inventory, partial(operator.lt, _bits(dtype)))
        if share > most:
            raise ParityLost(
                f"{component}: {share:.0%} of the weights in the file are wider than {dtype}, "
                f"recipe {recipe.name} allows {most:.0%}: the file is not quantized.",
                "not_quantized",
            )


def _most_wider(component: str, recipe: Recipe) -> dict[str, float]:
    """Share of the weights, by number, that may be wider than each dtype."""
    if not recipe.quantizes:
        return {recipe.dtype: MOST_WIDER}
    most_float = recipe.most_float.get(component, 1.0)
    return {"int8": most_float, recipe.dtype: most_float + recipe.most_int8.get(component, 0.0)}


def _share(inventory: Inventory, has: Callable[[int], bool]) -> float:
    """Share of the stored weights, by number, of whose bits `has` is true."""
    elements = inventory.weight_elements
    return sum(count for stored, count in elements.items() if has(_bits(stored))) / max(elements.total(), 1)


def _bits(dtype: str) -> int:
    return BITS.get(dtype, 8)


def check_loaded(component: str, recipe: Recipe, inventory: Inventory, loaded: int) -> None:
    """Raise ParityLost where loading leaves the memory of float32 weights that the file does not hold.

    loaded: bytes before the first run, whose workspace says nothing of weights.
    """
    float32 = 4 * sum(inventory.weight_elements.values())
    if recipe.quantizes and float32 > MEASURABLE_BYTES and loaded > float32:
        raise ParityLost(
            f"{component}: {loaded / 1e6:.0f} MB once loaded, {float32 / 1e6:.0f} MB would be its float32 weights: "
            "the runtime unpacks what the file holds quantized.",
            "not_quantized",
        )

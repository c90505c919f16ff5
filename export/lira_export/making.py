"""One component of a bundle: made and measured, or taken from what an earlier export kept of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lira_export.components import Component, build_components
from lira_export.gates import check_files, inspect, measure_parity
from lira_export.kept import Kept
from lira_export.keys import component_key
from lira_export.memory.held import Budget
from lira_export.memory.network import Network
from lira_export.memory.predict import Load, predict_stage
from lira_export.recipes import Recipe
from lira_export.references import References
from lira_export.target import Job, Resolution, Say, Target
from lira_runtime import manifest
from lira_runtime.errors import ParityLost
from lira_runtime.files import sha256_of
from lira_runtime.interface import COMPONENTS, TEXT_ENCODER
from lira_runtime.manifest import WeightsMode

Tell = Callable[[str, bool], None]
"""Takes a component's name, and whether it was there already."""


@dataclass(frozen=True)
class Order:
    """What to write and where. forgiving: write the bundle even where a gate of parity fails, and say so in it.

    weights: how the bundle is to be loaded, and so measured. budget: what the pipeline may take, where that is limited.
    """

    config: str
    target: Target
    recipe: Recipe
    out: Path
    components: tuple[str, ...] = COMPONENTS
    overwrite: bool = False
    forgiving: bool = False
    weights: WeightsMode = "packed"
    budget: Budget | None = None


def component_of(
    order: Order, references: References, name: str, folder: Path, kept: Kept | None, say: Say, tell: Tell
) -> manifest.Component:
    """The record of a component whose files are in `folder` afterwards.

    Raises ParityLost where it lost what the eager model computes, if the order does not forgive that.
    """
    key = component_key(name, order.target, order.recipe, order.config, order.weights, references)
    component = kept.take(key, name, folder, say) if kept else None
    if component is not None:
        judge(component.parity.passed, _drop_sentence(name, order, component.parity), order, say)
        tell(name, True)
        return _by_this_recipe(component, order, references)
    component = msgspec.structs.replace(_write_component(order, references, name, folder, say), key=key)
    if kept:
        kept.keep(key, component, folder)
    say(_summary(component))
    tell(name, False)
    return component


def _by_this_recipe(component: manifest.Component, order: Order, references: References) -> manifest.Component:
    """A component that was made by a recipe that writes the same files; what was predicted for it may be otherwise."""
    graphs = tuple(msgspec.structs.replace(graph, golden=None) for graph in component.graphs)
    if component.recipe != order.recipe.name:
        variants = _variants(references, component.name, order.target.segment_sums)
        graphs = tuple(
            graph if graph.memory is None else _with_memory(graph, order, variants, graph.memory.measured_bytes)
            for graph in graphs
        )
    return msgspec.structs.replace(component, recipe=order.recipe.name, graphs=graphs)


def _write_component(order: Order, references: References, name: str, folder: Path, say: Say) -> manifest.Component:
    job = Job(
        name,
        _variants(references, name, order.target.segment_sums),
        references.samples(name),
        order.recipe,
        references.models,
        folder,
        say,
    )
    written = order.target.write(job)
    inventories = check_files(order.target, job, written)  # first: it names an op that nothing here may run
    parity = measure_parity(order.target, job, written)
    judge(parity.passed, _drop_sentence(name, order, parity), order, say)
    inspected = inspect(order.target, job, written, inventories, order.weights)
    return manifest.Component(
        name=name,  # type: ignore[arg-type]
        graphs=tuple(
            graph if run is None else _with_memory(graph, order, job.variants, run.peak_bytes)
            for graph, run in zip(written.graphs, inspected.runs, strict=True)
        ),
        files=tuple(file_entry(path, folder) for path in written.files),
        recipe=order.recipe.name,
        parity=parity,
        contents=inspected.contents,
    )


def _with_memory(
    graph: manifest.Graph, order: Order, variants: Mapping[Resolution, Component], measured: int | None
) -> manifest.Graph:
    """A graph with what it was predicted to take in bytes, and what it takes."""
    load = Load(order.target.name, order.recipe, order.weights)
    predicted = predict_stage(Network.of(variants[graph.resolution], graph.resolution), load).record()
    return msgspec.structs.replace(graph, memory=msgspec.structs.replace(predicted, measured_bytes=measured))


def _variants(references: References, name: str, segment_sums: bool) -> dict[Resolution, Component]:
    resolutions = references.resolutions[:1] if name == TEXT_ENCODER else references.resolutions
    built = {
        resolution: build_components(references.models, resolution, (name,), segment_sums=segment_sums)
        for resolution in resolutions
    }
    return {
        None if name == TEXT_ENCODER else resolution: next(each for each in components if each.name == name)
        for resolution, components in built.items()
    }


def _drop_sentence(name: str, order: Order, parity: manifest.Parity) -> str:
    lost = f"{name}: recipe {order.recipe.name} keeps {parity.psnr_db:.1f} dB against eager"
    return f"{lost}, {parity.threshold_db:.0f} dB are needed."


def judge(passed: bool, sentence: str, order: Order, say: Say) -> None:
    """Raise ParityLost with the sentence, or only say it where the order forgives."""
    if passed:
        return
    if not order.forgiving:
        raise ParityLost(f"{sentence} --allow-parity-failure writes the bundle all the same.")
    say(f"WARNING: {sentence}")


def _summary(entry: manifest.Component) -> str:
    size = sum(file.bytes for file in entry.files) / 1e6
    before = entry.parity.float32_max_abs
    graph = "" if before is None else f"float32 graph within {before:.1e} of eager, "
    return f"{entry.name}: {size:.1f} MB, {graph}{entry.recipe} {entry.parity.psnr_db:.1f} dB against eager"


def file_entry(path: Path, folder: Path) -> manifest.FileEntry:
    """The manifest's record of a file in a bundle's folder."""
    name = path.relative_to(folder).as_posix()
    return manifest.FileEntry(path=name, bytes=path.stat().st_size, sha256=sha256_of(path))

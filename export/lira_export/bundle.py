"""Write a bundle: every component's files, the tokenizer, the empty prompt and the manifest, whole or not at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from lira.sources import Models
from lira_export.components import Component, build_components
from lira_export.drawing import draw
from lira_export.drift import drift_db, picture_psnr_db
from lira_export.empty_prompt import write_empty_prompt
from lira_export.gates import MOST_DB, check_files, inspect, measure_parity
from lira_export.golden import write_golden
from lira_export.memory.held import Budget, hold
from lira_export.memory.network import Network
from lira_export.memory.predict import Load, predict_stage
from lira_export.recipes import Recipe
from lira_export.references import DRAWN, References
from lira_export.target import Job, Resolution, Say, Target
from lira_runtime import manifest
from lira_runtime.bundle import Bundle, read_tensor
from lira_runtime.errors import ParityLost
from lira_runtime.files import atomic_directory, sha256_of
from lira_runtime.golden import GoldenInputs
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TEXT_ENCODER
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import WeightsMode
from lira_runtime.pipeline import Pipeline
from lira_runtime.tokenizer import ClipTokenizer

TOKENIZER_FILE = "tokenizer.json"


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


def write_bundle(order: Order, references: References, say: Say) -> manifest.Manifest:
    """Export the ordered components into `order.out`, and the image encoder where there is one.

    Raises:
        BadInput: a resolution does not fit, or the output folder is in use.
        ParityLost: a graph lost what it computes; nothing is left behind.
        OverBudget: the pipeline takes more than the order's budget; nothing is left behind.
    """
    models = references.models
    with atomic_directory(order.out, overwrite=order.overwrite) as folder:
        entries = []
        for name in (*order.components, *([IMAGE_ENCODER] if models.image_encoder is not None else [])):
            entries.append(_write_component(order, references, name, folder, say))
            say(_summary(entries[-1]))
        tokenizer, empty_prompt = _write_tokenizer(folder), None
        if TEXT_ENCODER in order.components:
            empty_prompt = write_empty_prompt(folder, entries[0].graphs[0], order.target.backend())
        golden_inputs = _golden_inputs(folder, tokenizer, empty_prompt)
        components = write_golden(folder, entries, order.target.backend(), golden_inputs)
        written = _manifest(order, references, components, tokenizer, empty_prompt)
        manifest.save(written, folder)
        if not written.partial:
            say("trajectory: drawing with the bundle and with the eager models")
            trajectory = _measure_trajectory(order, Bundle.open(folder), references)
            _judge(trajectory.passed, _drift_sentence(trajectory), order, say)
            written = msgspec.structs.replace(written, trajectory=trajectory)
            manifest.save(written, folder)
        if order.budget is not None:
            say("memory: drawing in a process of its own")
            hold(folder, order.budget, say)
    return written


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
    lost = f"{name}: recipe {order.recipe.name} keeps {parity.psnr_db:.1f} dB against eager"
    _judge(parity.passed, f"{lost}, {parity.threshold_db:.0f} dB are needed.", order, say)
    inspected = inspect(order.target, job, written, inventories, order.weights)
    return manifest.Component(
        name=name,  # type: ignore[arg-type]
        graphs=tuple(
            msgspec.structs.replace(graph, memory=_memory(order, job.variants[graph.resolution], graph, run))
            for graph, run in zip(written.graphs, inspected.runs, strict=True)
        ),
        files=tuple(_entry(path, folder) for path in written.files),
        recipe=order.recipe.name,
        parity=parity,
        contents=inspected.contents,
    )


def _memory(order: Order, component: Component, graph: manifest.Graph, run: StageRun | None) -> manifest.Memory | None:
    """Predicted and measured; None where no engine here runs the graph."""
    if run is None:
        return None
    load = Load(order.target.name, order.recipe, order.weights)
    predicted = predict_stage(Network.of(component, graph.resolution), load).record()
    return msgspec.structs.replace(predicted, measured_bytes=run.peak_bytes)


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


def _measure_trajectory(order: Order, bundle: Bundle, references: References) -> manifest.Trajectory:
    pipeline = Pipeline(bundle, order.target.backend())
    found, reference = draw(pipeline, DRAWN), references.drawing(bundle)
    settings, threshold = pipeline.settings(DRAWN), order.recipe.least_image_psnr_db
    picture = picture_psnr_db(found.image, reference.image)
    return manifest.Trajectory(
        prompt=DRAWN.prompt,
        seed=DRAWN.seed,
        steps=settings.steps,
        guidance=settings.guidance,
        drift_db=tuple(min(db, MOST_DB) for db in drift_db(found, reference)),
        image_psnr_db=min(picture, MOST_DB),
        threshold_db=threshold,
        passed=picture >= threshold,
    )


def _drift_sentence(trajectory: manifest.Trajectory) -> str:
    return (
        f"after {trajectory.steps} steps the picture is {trajectory.image_psnr_db:.1f} dB from the eager model's, "
        f"{trajectory.threshold_db:.0f} dB are needed."
    )


def _judge(passed: bool, sentence: str, order: Order, say: Say) -> None:
    """Raise ParityLost with the sentence, or only say it where the order forgives."""
    if passed:
        return
    if not order.forgiving:
        raise ParityLost(f"{sentence} --allow-parity-failure writes the bundle all the same.")
    say(f"WARNING: {sentence}")


def _manifest(
    order: Order,
    references: References,
    entries: tuple[manifest.Component, ...],
    tokenizer: manifest.FileEntry,
    empty_prompt: manifest.TensorFile | None,
) -> manifest.Manifest:
    models: Models = references.models
    kind = models.kind
    return manifest.Manifest(
        format_version=manifest.FORMAT_VERSION,
        target=order.target.name,
        requires=order.target.requires,
        preset=order.config,
        latent=manifest.Latent(name=kind.name, channels=kind.channels, scale=kind.scale, patch_size=kind.patch_size),
        resolutions=references.resolutions,
        sampler=models.sampler,
        tokenizer=tokenizer,
        components=entries,
        empty_prompt=empty_prompt,
        tools=dict(_tools(order.target)),
        source=models.source,
        weights=order.weights,
        partial=len(order.components) < len(COMPONENTS),
    )


def _tools(target: Target) -> Iterator[tuple[str, str]]:
    for name in target.tools:
        yield name, metadata.version(name)


def _write_tokenizer(folder: Path) -> manifest.FileEntry:
    path = folder / TOKENIZER_FILE
    ClipTokenizer.vendored().save(path)
    return _entry(path, folder)


def _golden_inputs(
    folder: Path, tokenizer: manifest.FileEntry, empty_prompt: manifest.TensorFile | None
) -> GoldenInputs:
    states = None if empty_prompt is None else read_tensor(folder, empty_prompt)
    return GoldenInputs(ClipTokenizer.load(folder / tokenizer.path), states)


def _entry(path: Path, folder: Path) -> manifest.FileEntry:
    name = path.relative_to(folder).as_posix()
    return manifest.FileEntry(path=name, bytes=path.stat().st_size, sha256=sha256_of(path))


def _summary(entry: manifest.Component) -> str:
    size = sum(file.bytes for file in entry.files) / 1e6
    before = entry.parity.float32_max_abs
    graph = "" if before is None else f"float32 graph within {before:.1e} of eager, "
    return f"{entry.name}: {size:.1f} MB, {graph}{entry.recipe} {entry.parity.psnr_db:.1f} dB against eager"

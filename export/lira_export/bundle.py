"""Write a bundle: every component's files, the tokenizer, the empty prompt and the manifest, whole or not at all."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import msgspec

from lira.sources import Models
from lira_export.drawing import Drawing, draw
from lira_export.drift import drift_db, picture_psnr_db
from lira_export.empty_prompt import write_empty_prompt
from lira_export.gates import MOST_DB
from lira_export.golden import write_golden
from lira_export.kept import Kept
from lira_export.keys import drawing_key
from lira_export.making import Order, Tell, component_of, file_entry, judge
from lira_export.memory.held import hold
from lira_export.references import DRAWN, References
from lira_export.target import Say, Target
from lira_runtime import manifest
from lira_runtime.bundle import Bundle, read_tensor
from lira_runtime.files import atomic_directory
from lira_runtime.golden import GoldenInputs
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TEXT_ENCODER
from lira_runtime.pipeline import Pipeline
from lira_runtime.tokenizer import ClipTokenizer

TOKENIZER_FILE = "tokenizer.json"
FIRST = "denoiser"
"""It takes longest, so what is interrupted half-way has it behind it."""


def write_bundle(
    order: Order, references: References, say: Say, kept: Kept | None = None, tell: Tell = lambda name, reused: None
) -> manifest.Manifest:
    """Export the ordered components into `order.out`, and the image encoder where there is one.

    kept: where finished components are kept until all is done, and taken from; the output must be locked. tell: see
    `lira_export.making`.

    Raises:
        BadInput: a resolution does not fit, or the output folder is in use.
        ParityLost: a graph lost what it computes; nothing is left behind but what is kept.
        OverBudget: the pipeline takes more than the order's budget; the same.
    """
    models = references.models
    with atomic_directory(order.out, overwrite=order.overwrite) as folder:
        names = (*order.components, *([IMAGE_ENCODER] if models.image_encoder is not None else []))
        made = {
            name: component_of(order, references, name, folder, kept, say, tell)
            for name in sorted(names, key=lambda name: name != FIRST)
        }
        entries = [made[name] for name in names]
        tokenizer, empty_prompt = _write_tokenizer(folder), None
        if TEXT_ENCODER in order.components:
            empty_prompt = write_empty_prompt(folder, entries[0].graphs[0], order.target.backend())
        golden_inputs = _golden_inputs(folder, tokenizer, empty_prompt)
        components = write_golden(folder, entries, order.target.backend(), golden_inputs)
        written = _manifest(order, references, components, tokenizer, empty_prompt)
        manifest.save(written, folder)
        if not written.partial:
            say("trajectory: drawing with the bundle and with the eager models")
            trajectory = _measure_trajectory(order, Bundle.open(folder), references, kept)
            judge(trajectory.passed, _drift_sentence(trajectory), order, say)
            written = msgspec.structs.replace(written, trajectory=trajectory)
            manifest.save(written, folder)
        if order.budget is not None:
            say("memory: drawing in a process of its own")
            hold(folder, order.budget, say)
    if kept:
        kept.clear()
    return written


def _measure_trajectory(order: Order, bundle: Bundle, references: References, kept: Kept | None) -> manifest.Trajectory:
    pipeline = Pipeline(bundle, order.target.backend())
    reference = eager_drawing(bundle, references, kept)  # first: it takes longer, and is kept
    found = draw(pipeline, DRAWN)
    settings, threshold = pipeline.settings(DRAWN), order.recipe.least_image_psnr_db
    picture = min(picture_psnr_db(found.image, reference.image), MOST_DB)
    return manifest.Trajectory(
        prompt=DRAWN.prompt,
        seed=DRAWN.seed,
        steps=settings.steps,
        guidance=settings.guidance,
        drift_db=tuple(min(db, MOST_DB) for db in drift_db(found, reference)),
        image_psnr_db=picture,
        threshold_db=threshold,
        passed=picture >= threshold,
    )


def eager_drawing(bundle: Bundle, references: References, kept: Kept | None) -> Drawing:
    """The eager models' drawing with a bundle's sampler, from what is kept where it is there."""
    if kept is None:
        return references.drawing(bundle)
    key = drawing_key(references)
    found = kept.take_drawing(key)
    if found is None:
        found = references.drawing(bundle)
        kept.keep_drawing(key, found)
    return found


def _drift_sentence(trajectory: manifest.Trajectory) -> str:
    return (
        f"after {trajectory.steps} steps the picture is {trajectory.image_psnr_db:.1f} dB from the eager model's, "
        f"{trajectory.threshold_db:.0f} dB are needed."
    )


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
    return file_entry(path, folder)


def _golden_inputs(
    folder: Path, tokenizer: manifest.FileEntry, empty_prompt: manifest.TensorFile | None
) -> GoldenInputs:
    states = None if empty_prompt is None else read_tensor(folder, empty_prompt)
    return GoldenInputs(ClipTokenizer.load(folder / tokenizer.path), states)

"""Write a bundle: every component's files, the tokenizer, the empty prompt and the manifest, whole or not at all."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from lira.sources import Models
from lira_export.calibration import hidden_ranges
from lira_export.components import build_components
from lira_export.empty_prompt import write_empty_prompt
from lira_export.onnx.export import Say, export_component
from lira_export.parity import reference_samples
from lira_export.recipes import Recipe
from lira_runtime import manifest
from lira_runtime.files import atomic_directory, sha256_of
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER
from lira_runtime.tokenizer import ClipTokenizer

TOKENIZER_FILE = "tokenizer.json"
TOOLS = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxsim", "transformers")


@dataclass(frozen=True)
class Order:
    """What to write and where."""

    config: str
    recipe: Recipe
    out: Path
    components: tuple[str, ...] = COMPONENTS
    overwrite: bool = False


def write_bundle(order: Order, models: Models, say: Say) -> manifest.Manifest:
    """Export the ordered components of `models` as ONNX into `order.out`, and the image encoder where there is one.

    Raises:
        BadInput: the resolution does not fit, or the output folder is in use.
        ParityLost: a graph lost what it computes; nothing is left behind.
    """
    every = {component.name: component for component in build_components(models, models.resolution)}
    with atomic_directory(order.out, overwrite=order.overwrite) as folder:
        say("reference: running the eager models")
        samples = reference_samples(every)
        entries = []
        for name in (*order.components, *([IMAGE_ENCODER] if IMAGE_ENCODER in every else [])):
            ranges = None
            if name == "denoiser" and order.recipe.static_hidden:
                say("calibration: drawing with the eager denoiser")
                ranges = hidden_ranges(models)
            entries.append(export_component(every.pop(name), samples.pop(name), order.recipe, folder, say, ranges))
            say(_summary(entries[-1]))
        encoders = [entry for entry in entries if entry.name == "text_encoder"]
        empty_prompt = write_empty_prompt(folder, encoders[0]) if encoders else None
        written = _manifest(order, models, tuple(entries), _write_tokenizer(folder), empty_prompt)
        manifest.save(written, folder)
    return written


def _manifest(
    order: Order,
    models: Models,
    entries: tuple[manifest.Component, ...],
    tokenizer: manifest.FileEntry,
    empty_prompt: manifest.TensorFile | None,
) -> manifest.Manifest:
    kind = models.kind
    return manifest.Manifest(
        format_version=manifest.format_version_for(entries),
        target="onnx",
        preset=order.config,
        latent=manifest.Latent(name=kind.name, channels=kind.channels, scale=kind.scale, patch_size=kind.patch_size),
        resolution=models.resolution,
        sampler=models.sampler,
        tokenizer=tokenizer,
        components=entries,
        empty_prompt=empty_prompt,
        tools=dict(_tools()),
        source=models.source,
        partial=len(order.components) < len(COMPONENTS),
    )


def _tools() -> Iterator[tuple[str, str]]:
    for name in TOOLS:
        yield name, metadata.version(name)


def _write_tokenizer(folder: Path) -> manifest.FileEntry:
    path = folder / TOKENIZER_FILE
    ClipTokenizer.vendored().save(path)
    return manifest.FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))


def _summary(entry: manifest.Component) -> str:
    size = sum(file.bytes for file in entry.files) / 1e6
    psnr = entry.parity.quantized_psnr_db
    quality = f", {entry.recipe} {psnr:.1f} dB against eager" if psnr is not None else ""
    return f"{entry.name}: {size:.1f} MB, float32 graph within {entry.parity.fp32_max_abs:.1e} of eager{quality}"

"""Bundles that are made only to be measured: every network traced once for all recipes, no parity, no drawing.

Weights are random and the ranges of hidden layers are one; neither changes what a process takes. Text encoders do not
depend on the case: they are written once and linked into every bundle.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lira.layers import MixFFN
from lira.sources import Models
from lira_export.calibration import HiddenRange
from lira_export.components import Component, build_components
from lira_export.recipes import get_recipe
from lira_export.target import ENTRY
from lira_runtime import manifest as m
from lira_runtime.files import sha256_of
from lira_runtime.interface import COMPONENTS, PROMPT_TOKENS, TEXT_ENCODER
from lira_runtime.manifest import TargetName
from lira_runtime.tokenizer import ClipTokenizer

NO_PARITY = m.Parity(psnr_db=-200, cosine=0, threshold_db=0, passed=False)
NO_CONTENTS = m.Contents(ops={}, products={}, weight_bytes={})


def write_bundles(
    target: TargetName, models: Models, resolution: int, recipes: Sequence[str], out: Path
) -> dict[str, Path]:
    """Write one bundle for each recipe at `resolution` px into `out`, beside its text encoders; returns their folders.

    Only Linux's hard links make the text encoder free; a folder of an earlier call in `out` is replaced.
    """
    folders = {recipe: out / recipe for recipe in recipes}
    graphs: dict[str, list[m.Component]] = {recipe: [] for recipe in recipes}
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name in COMPONENTS:
        (component,) = build_components(models, resolution, (name,))
        place = out / (f"{target}-{models.text_encoder.preset.name}" if name == TEXT_ENCODER else "scratch")
        if not place.exists():
            _write_whole(target, component, models, recipes, place)
        for recipe, folder in folders.items():
            files = [_link(path, folder) for path in sorted((place / recipe).iterdir())]
            graphs[recipe].append(_entry(component, recipe, resolution, files))
        if name != TEXT_ENCODER:
            shutil.rmtree(place)
    for recipe, folder in folders.items():
        m.save(_manifest(target, models, resolution, tuple(graphs[recipe]), folder), folder)
    return folders


def _write_whole(target: TargetName, component: Component, models: Models, recipes: Sequence[str], place: Path) -> None:
    """A folder for each recipe in `place`, which is there when all of it is."""
    part = place.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    for recipe in recipes:
        (part / recipe).mkdir(parents=True)
    WRITERS[target](component, models, recipes, part)
    part.rename(place)


def _write_onnx(component: Component, models: Models, recipes: Sequence[str], place: Path) -> None:
    from lira_export.onnx.convert import to_onnx
    from lira_export.onnx.half import store_half
    from lira_export.onnx.quantize import quantize
    from lira_export.onnx.store import WeightStore
    from lira_export.passes.simplify import simplify

    traced = simplify(to_onnx(component))
    for name in recipes:
        model, recipe = traced.clone(), get_recipe(name, "onnx")
        ranges = _ranges(models) if recipe.calibrated and component.name == "denoiser" else None
        quantize(model, component.name, recipe, ranges)
        if recipe.dtype != "float32":
            store_half(model)
        graph = place / name / f"{component.name}.onnx"
        WeightStore(graph.with_suffix(".onnx.data")).save(model, graph)


def _ranges(models: Models) -> dict[str, HiddenRange]:
    layers = {path: each for path, each in models.denoiser.named_modules() if isinstance(each, MixFFN)}
    return {path: HiddenRange(np.ones(each.conv.out_channels, np.float32), 1.0) for path, each in layers.items()}


def _write_tflite(component: Component, models: Models, recipes: Sequence[str], place: Path) -> None:
    from lira_export.tflite.convert import to_tflite
    from lira_export.tflite.model import read, write
    from lira_export.tflite.names import name_layers
    from lira_export.tflite.quantize import quantize

    raw, float32 = place / "raw.tflite", place / "float32.tflite"
    to_tflite({ENTRY: component}, raw)
    model = read(raw)
    name_layers(model, component.traceable)
    write(model, float32)
    raw.unlink()
    for name in recipes:
        recipe, goal = get_recipe(name, "tflite"), place / name / f"{component.name}.tflite"
        if recipe.dtype == "float32":
            os.link(float32, goal)
        else:
            quantize(float32, goal, component.name, recipe)
    float32.unlink()


WRITERS: Mapping[TargetName, Callable[[Component, Models, Sequence[str], Path], None]] = {
    "onnx": _write_onnx,
    "tflite": _write_tflite,
}


def _link(path: Path, folder: Path) -> Path:
    os.link(path, folder / path.name)
    return folder / path.name


def _entry(component: Component, recipe: str, resolution: int, files: Sequence[Path]) -> m.Component:
    graph = m.Graph(
        path=next(path.name for path in files if path.suffix in (".onnx", ".tflite")),
        entry=ENTRY,
        resolution=None if component.name == TEXT_ENCODER else resolution,
        inputs=component.inputs,
        outputs=component.outputs,
    )
    return m.Component(
        name=component.name,  # type: ignore[arg-type]
        graphs=(graph,),
        files=tuple(map(_file, files)),
        recipe=recipe,
        parity=NO_PARITY,
        contents=NO_CONTENTS,
    )


def _manifest(
    target: TargetName, models: Models, resolution: int, components: tuple[m.Component, ...], folder: Path
) -> m.Manifest:
    ClipTokenizer.vendored().save(folder / "tokenizer.json")
    states = np.zeros((1, PROMPT_TOKENS, models.text_encoder.width), "<f4")
    (folder / "empty_prompt.f32").write_bytes(states.tobytes())
    empty, kind = _file(folder / "empty_prompt.f32"), models.kind
    return m.Manifest(
        format_version=m.FORMAT_VERSION,
        target=target,
        preset=models.denoiser.preset.name,
        latent=m.Latent(name=kind.name, channels=kind.channels, scale=kind.scale, patch_size=kind.patch_size),
        resolutions=(resolution,),
        sampler=models.sampler,
        tokenizer=_file(folder / "tokenizer.json"),
        components=components,
        empty_prompt=m.TensorFile(
            path=empty.path, bytes=empty.bytes, sha256=empty.sha256, shape=states.shape, dtype="float32"
        ),
        tools={},
        source=models.source,
    )


def _file(path: Path) -> m.FileEntry:
    return m.FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))

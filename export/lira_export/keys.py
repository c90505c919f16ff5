"""What makes a component, as one SHA-256: where the key is the same, making it anew writes the same files."""

import hashlib
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from importlib import metadata

import msgspec

from lira_export.digests import code_digest
from lira_export.recipes import Recipe
from lira_export.references import DRAWN, References
from lira_export.target import Target
from lira_runtime.interface import COMPONENTS, TEXT_ENCODER, interface
from lira_runtime.manifest import TargetName, WeightsMode

TOOLS = ("torch", "numpy", "onnxruntime")
"""Of every target, besides its own."""


def component_key(
    name: str, target: Target, recipe: Recipe, config: str, weights: WeightsMode, references: References
) -> str:
    """The key of a component that `target` is to write.

    It is of everything that the target's writer and the measurements in the component's record read: the recipe as it
    bears on this component, tensors by resolution, the eager modules, the sampler where drawings calibrate, the loading
    mode, the code of this project, and the versions of the tools. Not of the clock, nor of any file's times.
    """
    models = references.models
    record: dict[str, object] = {
        "component": name,
        "target": (target.name, target.requires, target.segment_sums),
        "recipe": bearing(recipe, name, target.name),
        "config": config,
        "latent": repr(models.kind),
        "tensors": _tensors(name, references),
        "modules": {role: references.digest(role) for role in _read_by(name, target.name)},
        "weights": weights,
    }
    if name == "denoiser" or target.name == "coreml":  # which see drawings by the eager models
        record["sampler"] = repr(models.sampler)
    if target.name == "coreml":  # whose packages say it
        record["source"] = models.source.digest
    return _sha256(record | _made_by({*target.tools, *TOOLS}))


def drawing_key(references: References) -> str:
    """The key of the eager models' whole drawing, at the first resolution and with their own sampler."""
    models = references.models
    record = {
        "drawn": repr(DRAWN),
        "latent": repr(models.kind),
        "resolution": references.resolutions[0],
        "sampler": repr(models.sampler),
        "modules": {role: references.digest(role) for role in COMPONENTS},
    }
    return _sha256(record | _made_by(TOOLS))


def _made_by(tools: Iterable[str]) -> dict[str, object]:
    return {
        "tools": _versions(tools),
        "python": (platform.python_version(), sys.platform, platform.machine()),
        "code": code_digest(),
    }


def _sha256(record: Mapping[str, object]) -> str:
    return hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()


def bearing(recipe: Recipe, component: str, target: TargetName) -> dict[str, object]:
    """What a recipe says of one component. Recipes that say the same of it make the same files of it.

    Only the denoiser's files and those of Core ML depend on `calibrated`, and on the name only those of Core ML.
    """
    left_out = {"least_image_psnr_db"}
    if target != "coreml":
        left_out |= {"name"} if component == "denoiser" else {"name", "calibrated"}
    said = {each.name: getattr(recipe, each.name) for each in fields(recipe) if each.name not in left_out}
    return {name: value.get(component) if isinstance(value, Mapping) else value for name, value in said.items()}


def _tensors(name: str, references: References) -> list[object]:
    """Resolution in px, inputs and outputs of each graph."""
    models, sides = references.models, references.resolutions
    found: list[object] = []
    for side in sides[:1] if name == TEXT_ENCODER else sides:
        specs = interface(models.kind.shape(side, side), models.kind.scale, models.text_encoder.width)
        found.append((None if name == TEXT_ENCODER else side, specs[name]))
    return found


def _read_by(name: str, target: TargetName) -> tuple[str, ...]:
    """The models that a component's files, samples and calibration are made with."""
    if name == "denoiser":
        return ("denoiser", "text_encoder")
    if name == "decoder" and target == "coreml":  # its ranges are those of drawn latents
        return ("decoder", "denoiser", "text_encoder")
    return (name,)


def _versions(tools: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in tools:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found

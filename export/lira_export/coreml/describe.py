"""What Xcode shows of a package: authorship, tensors with shapes and units, and where the weights come from."""

from importlib import metadata

from lira_export.coreml.library import MLModel
from lira_export.target import Job, Resolution
from lira_runtime.interface import TensorSpec

AUTHOR, LICENCE, DISTRIBUTION = "LiRA", "Apache-2.0", "lira-toolchain"
SUMMARIES = {
    "text_encoder": "LiRA's text encoder: a prompt's tokens to text states.",
    "denoiser": "LiRA's denoiser: one step of a drawing.",
    "decoder": "LiRA's decoder: a latent to a picture.",
    "image_encoder": "LiRA's image encoder: a picture to a latent.",
}
MEANINGS = {
    "input_ids": "CLIP token ids of the prompt, padded at the end",
    "text_states": "text states, a row for each token",
    "latent": "latent at this time, of about unit variance, no unit",
    "timestep": "time, from 1 (noise) down to 0 (picture)",
    "velocity": "velocity of the latent per unit of time",
    "reasoning_steps": "steps that the reasoning loop took",
    "image": "picture, RGB by rows from the top, sRGB in 0 to 1",
}
DATED = "com.github.apple.coremltools.conversion_date"
"""Dropped, so that the same weights give the same package."""


def describe_tensors(model: MLModel, job: Job, resolution: Resolution) -> None:
    """Give every input and output of one variant its description."""
    variant = job.variants[resolution]
    for spec in variant.inputs:
        model.input_description[spec.name] = _description(spec)
    for spec in variant.outputs:
        model.output_description[spec.name] = _description(spec)


def describe_package(model: MLModel, job: Job) -> None:
    """Set what holds for the whole package."""
    model.author, model.license, model.version = AUTHOR, LICENCE, metadata.version(DISTRIBUTION)
    model.short_description = SUMMARIES[job.name]
    model.user_defined_metadata.pop(DATED, None)
    known = {
        "preset": job.models.denoiser.preset.name,
        "latent": job.models.kind.name,
        "recipe": job.recipe.name,
        "source_digest": job.models.source.digest,
    }
    sides = [str(resolution) for resolution in job.variants if resolution is not None]
    if sides:
        known["resolution_px"] = ", ".join(sides)
    for name, value in known.items():
        model.user_defined_metadata[name] = value


def _description(spec: TensorSpec) -> str:
    shape = " x ".join(map(str, spec.shape))
    return f"{MEANINGS[spec.name]}; {spec.dtype} {shape}"

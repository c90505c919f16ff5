"""Recipes for Core ML: which weights are stored how, carried out by coremltools."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from math import prod
from typing import Literal

from coremltools.converters.mil.mil import Operation
from coremltools.optimize.coreml import (
    OpLinearQuantizerConfig,
    OpPalettizerConfig,
    OptimizationConfig,
    linear_quantize_weights,
    palettize_weights,
)

from lira_export.coreml.library import MLModel, quiet
from lira_export.coreml.palette import palette
from lira_export.recipes import Recipe

WEIGHT_INPUTS = {"linear": "weight", "conv": "weight", "gather": "x"}
"""Ops whose weights are quantized, and the input that is the weight."""
LEAST_ELEMENTS = 2048
"""Of a quantized weight; smaller ones save nothing."""
BLOCK = 32
"""Inputs that share a scale of int4."""
GROUP = 16
"""Output channels that share a palette from iOS 18."""
GROUPED_IOS = 18
LEAST_GROUP = 2048
"""Weights that are worth a palette of their own, which then takes a twelfth of their space at most."""
PALETTE_BITS = 6
SENSITIVE: Mapping[str, tuple[str, ...]] = {
    "denoiser": ("blocks.*.scan.rates", "blocks.*.scan.maps", "blocks.*.ffn.fc1"),
    "text_encoder": ("embeddings.token_embedding.expand",),
}
"""Layers, by component, that `mixed` stores in int8: those that give back most for their share of the weights.

Measured on the demo, all others in palettes. Denoiser 35.3 dB without any; the rates of the scan, 0.5 % of the weights,
bring 0.9 dB, its maps, 1.2 %, 0.3, fc1 of the Mix-FFN, 15 %, 3.9; fc2, as large, would bring 1.4, value and out_proj
together 0.5. Text encoder 33.7 dB; the expansion of its token table, 0.2 %, brings 0.9.
"""

Kind = Literal["int8", "int4", "palette"]


@dataclass(frozen=True)
class Weight:
    """A constant of an ML Program that is large enough to quantize: its op, its module's path, and its shape."""

    const: str
    module: str
    shape: tuple[int, ...]


def quantize(model: MLModel, component: str, recipe: Recipe, paths: Mapping[str, str], ios: int) -> MLModel:
    """The model with its weights stored as the recipe says; `paths` as `convert.weight_paths` gives them.

    Raises:
        RuntimeError: nothing was found to quantize.
    """
    chosen = {weight: _kind(weight, component, recipe) for weight in quantizable(model, component, recipe, paths)}
    if not chosen:
        raise RuntimeError(f"recipe {recipe.name} quantizes nothing in {component}")
    for kind in dict.fromkeys(chosen.values()):
        configs = {weight.const: _config(weight, kind, ios) for weight, its in chosen.items() if its == kind}
        carry_out = palettize_weights if kind == "palette" else linear_quantize_weights
        with quiet():
            model = carry_out(model, OptimizationConfig(op_name_configs=configs))
    return model


def quantizable(model: MLModel, component: str, recipe: Recipe, paths: Mapping[str, str]) -> Iterator[Weight]:
    """Weights of products and tables but those that the recipe keeps in float, and depthwise convolutions, which are
    small and sensitive.
    """
    for op in model._mil_program.functions["main"].operations:
        const = weight_const(op)
        path = paths.get(const.name) if const is not None else None
        if const is not None and path is not None:
            weight = Weight(const.name, path.removesuffix(".weight"), const.outputs[0].shape)
            depthwise = op.op_type == "conv" and weight.shape[1] == 1
            large = const.outputs[0].val.size > LEAST_ELEMENTS
            if large and not depthwise and not recipe.keeps_float(component, weight.module):
                yield weight


def weight_const(op: Operation) -> Operation | None:
    """The constant that is an op's weight, or None."""
    if op.op_type not in WEIGHT_INPUTS:
        return None
    maker = op.inputs[WEIGHT_INPUTS[op.op_type]].op
    return maker if maker is not None and maker.op_type == "const" else None


def _kind(weight: Weight, component: str, recipe: Recipe) -> Kind:
    if recipe.name == "mixed":
        sensitive = any(fnmatch(weight.module, pattern) for pattern in SENSITIVE.get(component, ()))
        return "int8" if sensitive else "palette"
    if recipe.dtype == "uint6":
        return "palette"
    return "int4" if recipe.dtype == "int4" and weight.shape[1] % BLOCK == 0 else "int8"


def _config(weight: Weight, kind: Kind, ios: int) -> OpLinearQuantizerConfig | OpPalettizerConfig:
    small = {"weight_threshold": LEAST_ELEMENTS}
    if kind == "int8":
        return OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel", **small)
    if kind == "int4":
        return OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=BLOCK, **small
        )
    channels, *others = weight.shape
    grouped = ios >= GROUPED_IOS and channels % GROUP == 0 and GROUP * prod(others) >= LEAST_GROUP
    granularity = {"granularity": "per_grouped_channel", "group_size": GROUP} if grouped else {}
    return OpPalettizerConfig(mode="custom", lut_function=partial(palette, bits=PALETTE_BITS), **granularity, **small)

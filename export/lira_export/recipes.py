"""Quantization recipes: named data, the same names for every target, each with the parity that it must keep.

`HOW` is the one place where the targets differ: how each carries a recipe out, and why it lacks one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from types import MappingProxyType

from lira_runtime.errors import BadInput
from lira_runtime.manifest import TargetName

PER_COMPONENT = ("text_encoder", "denoiser", "decoder", "image_encoder")


def _each(
    text_encoder: float, denoiser: float, decoder: float, image_encoder: float | None = None
) -> Mapping[str, float]:
    """By component; the image encoder is held to what the decoder is, where nothing else is said."""
    last = decoder if image_encoder is None else image_encoder
    return MappingProxyType(dict(zip(PER_COMPONENT, (text_encoder, denoiser, decoder, last), strict=True)))


@dataclass(frozen=True)
class Recipe:
    """How an export stores its weights, and what it may lose by that.

    dtype: of the large weights in the file. `keep_float` are patterns of module paths, by component, that compute with
    float weights and activations: the reasoning loop, time, final AdaLN, first and last layer. `calibrated` fixes
    scales of activations from drawings by the eager model. `least_psnr_db` is the PSNR in dB against eager float32, by
    component, and `least_image_psnr_db` that of a whole drawing, below which the export fails. `most_float` is the
    share of a component's weights, by number, that may be stored wider than 8 bits; `most_int8` is the share that may
    have those 8 where `dtype` has fewer: none of a component that it does not name.
    """

    name: str
    dtype: str
    least_psnr_db: Mapping[str, float]
    least_image_psnr_db: float
    calibrated: bool = False
    keep_float: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    most_float: Mapping[str, float] = field(default_factory=dict)
    most_int8: Mapping[str, float] = field(default_factory=dict)

    @property
    def quantizes(self) -> bool:
        """Whether weights are stored as integers or as entries of a palette."""
        return not self.dtype.startswith("float")

    def keeps_float(self, component: str, module_path: str) -> bool:
        """Whether the weights of a module stay float."""
        return any(fnmatch(module_path, pattern) for pattern in self.keep_float.get(component, ()))


KEEP_FLOAT = MappingProxyType(
    {
        "denoiser": (
            "patch_embedding",
            "reasoning*",
            "time_embedding*",
            "final_modulation",
            "final_proj",
        ),
        "decoder": ("stem", "detail", "head*"),
    }
)
MOST_FLOAT = _each(0.05, 0.2, 0.5)
CONVOLUTIONS_IN_INT8 = _each(0, 0, 1)
"""XNNPACK has no int4 convolutions, and Core ML's blocks of 32 inputs do not fit all of them."""
SENSITIVE_IN_INT8 = _each(0.02, 0.2, 0)
"""A little more than the layers that `mixed` holds to be sensitive: 0.2 % of the text encoder, 17 % of the denoiser."""

FLOAT32 = Recipe("fp32", "float32", _each(90, 90, 90), 60)
FLOAT16 = Recipe("fp16", "float16", _each(45, 45, 45), 35)
INT8 = Recipe("int8", "int8", _each(35, 35, 45, 35), 30, True, KEEP_FLOAT, MOST_FLOAT)
INT8_DYNAMIC = Recipe("int8-dynamic", "int8", _each(35, 35, 45, 35), 30, False, KEEP_FLOAT, MOST_FLOAT)
W8A8 = Recipe("w8a8", "int8", _each(30, 30, 40, 35), 28, True, KEEP_FLOAT, MOST_FLOAT)
INT6 = Recipe("int6", "uint6", _each(28, 28, 40, 30), 26, False, KEEP_FLOAT, MOST_FLOAT)
INT4 = Recipe("int4", "int4", _each(15, 18, 30, 25), 18, False, KEEP_FLOAT, MOST_FLOAT, CONVOLUTIONS_IN_INT8)
MIXED = Recipe("mixed", "uint6", _each(28, 30, 40, 30), 28, False, KEEP_FLOAT, MOST_FLOAT, SENSITIVE_IN_INT8)
RECIPES = {r.name: r for r in (FLOAT32, FLOAT16, INT8, INT8_DYNAMIC, W8A8, INT6, INT4, MIXED)}
DEFAULT_RECIPE = INT8.name

HOW: Mapping[TargetName, Mapping[str, str]] = {
    "onnx": {
        "fp32": "as traced",
        "fp16": "matrices stored as float16, unpacked by the runtime when it loads; computes in float32",
        "int8": "int8 products, activations quantized as they come; hidden layers stay in 8 bits at calibrated scales",
        "int8-dynamic": "the same, hidden layers in float32 between their products",
    },
    "tflite": {
        "fp32": "as traced",
        "fp16": "weights stored as float16, unpacked by XNNPACK when it loads; computes in float32",
        "int8": "int8 weights per output channel, activations quantized as they come",
        "int4": "the same with int4 weights, but for convolutions, which XNNPACK does not have in int4",
    },
    "coreml": {
        "fp32": "float32 throughout",
        "fp16": "float16 throughout, but for tensors that it cannot hold",
        "int8": "int8 weights, one scale an output channel; computes in float16",
        "w8a8": "int8 weights, and activations of the products in int8 at calibrated scales (iOS 17)",
        "int6": "palettes of 64 values, one a tensor (iOS 16), one for 16 output channels from iOS 18",
        "int4": "int4 weights, one scale for a block of 32 inputs (iOS 18)",
        "mixed": "int8 for the layers that a sweep found sensitive, palettes of 64 values for the others",
    },
}
"""How each target does a recipe. One that it lacks, it lacks for a reason in `WHY_NOT`."""

WHY_NOT: Mapping[tuple[TargetName, str], str] = {
    ("onnx", "int6"): "ONNX Runtime's CPU kernels know no palettes",
    ("onnx", "mixed"): "ONNX Runtime's CPU kernels know no palettes",
    ("onnx", "int4"): "its MatMulNBits runs slower than float32 at the denoiser's 1024 tokens",
    ("onnx", "w8a8"): "int8 quantizes activations too, at their own ranges",
    ("tflite", "int6"): "TFLite has no palettes",
    ("tflite", "mixed"): "TFLite has no palettes",
    ("tflite", "w8a8"): "int8 quantizes activations too, at their own ranges",
    ("tflite", "int8-dynamic"): "that is what int8 is there",
    ("coreml", "int8-dynamic"): "Core ML quantizes no activation by its own range",
}


def get_recipe(name: str, target: TargetName) -> Recipe:
    """The recipe called `name`. Raises BadInput, naming the choices, where there is none or the target lacks it."""
    choices = ", ".join(HOW[target])
    if name not in RECIPES:
        raise BadInput(f"Unknown recipe '{name}'; --target {target} has: {choices}.")
    if name not in HOW[target]:
        reason = WHY_NOT[target, name]
        raise BadInput(f"The target {target} has no recipe '{name}' ({reason}); use --recipe with one of: {choices}.")
    return RECIPES[name]

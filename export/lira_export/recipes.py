"""Quantization recipes: named data, each with the parity that it must keep."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from types import MappingProxyType

from lira_runtime.errors import BadInput


@dataclass(frozen=True)
class Recipe:
    """How one export stores its weights.

    `keep_float` are patterns of module paths, by component, that compute with float32 activations and weights: the
    reasoning loop, time, final AdaLN, first and last layer.
    `static_hidden` keeps the Mix-FFNs' hidden layers in 8 bits, at scales fixed by calibration, where other activations
    are quantized by their own range as they come.
    `least_psnr_db` is the PSNR in dB against eager float32, by component, below which the export fails. `quantizes` is
    False for plain float32.
    """

    name: str
    quantizes: bool
    static_hidden: bool = False
    keep_float: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    least_psnr_db: Mapping[str, float] = field(default_factory=dict)

    def keeps_float(self, component: str, module_path: str) -> bool:
        """Whether the weights of a module stay float32."""
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
LEAST_PSNR_DB = MappingProxyType({"text_encoder": 30.0, "denoiser": 30.0, "decoder": 35.0, "image_encoder": 35.0})

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32", quantizes=False),
        Recipe("int8", quantizes=True, static_hidden=True, keep_float=KEEP_FLOAT, least_psnr_db=LEAST_PSNR_DB),
        Recipe("int8-dynamic", quantizes=True, keep_float=KEEP_FLOAT, least_psnr_db=LEAST_PSNR_DB),
    )
}

GREATEST_GRAPH_ERROR = 1e-4
"""Largest difference of the float32 graph from eager, absolute, for outputs of unit scale."""


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises BadInput, naming the choices."""
    if name not in RECIPES:
        raise BadInput(f"Unknown recipe '{name}'; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]

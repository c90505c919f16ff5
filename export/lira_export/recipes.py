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
    state-space selection (B, C, dt, A), gates and plans of the reasoning loop, time, first and last layer.
    `least_psnr_db` is the PSNR in dB against eager float32, by component, below which the export fails. `quantizes` is
    False for plain float32.
    """

    name: str
    quantizes: bool
    keep_float: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    least_psnr_db: Mapping[str, float] = field(default_factory=dict)

    def keeps_float(self, component: str, module_path: str) -> bool:
        """Whether the weights of a module stay float32."""
        return any(fnmatch(module_path, pattern) for pattern in self.keep_float.get(component, ()))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32", quantizes=False),
        Recipe(
            "int8",
            quantizes=True,
            keep_float=MappingProxyType(
                {
                    "denoiser": (
                        "patch_embedding",
                        "*.select",
                        "*.fusion.gate",
                        "reasoning*",
                        "time_embedding*",
                        "final_modulation",
                        "final_proj",
                    ),
                    "decoder": ("stem", "detail", "head*"),
                }
            ),
            least_psnr_db=MappingProxyType({"text_encoder": 30.0, "denoiser": 30.0, "decoder": 35.0}),
        ),
    )
}

GREATEST_GRAPH_ERROR = 1e-4
"""Largest difference of the float32 graph from eager, absolute, for outputs of unit scale."""


def get_recipe(name: str) -> Recipe:
    """The recipe called `name`. Raises BadInput, naming the choices."""
    if name not in RECIPES:
        raise BadInput(f"Unknown recipe '{name}'; choose one of: {', '.join(RECIPES)}.")
    return RECIPES[name]

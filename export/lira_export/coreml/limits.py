"""What each iOS allows, checked before anything heavy is imported."""

from collections.abc import Sequence

from lira_export.recipes import HOW, Recipe
from lira_runtime.errors import BadInput

IOS_VERSIONS = (16, 17, 18)
LEAST_IOS = {"w8a8": 17, "int4": 18}
"""Of recipes that older systems cannot run."""
MULTIFUNCTION_IOS = 18
"""From which one package may hold a function for each resolution."""


def check_ios(ios: int) -> None:
    """Raise BadInput for an iOS that is no deployment target here."""
    if ios not in IOS_VERSIONS:
        raise BadInput(
            f"Core ML is not written for iOS {ios}; use --ios with one of: {', '.join(map(str, IOS_VERSIONS))}."
        )


def check_recipe(recipe: Recipe, ios: int, resolutions: Sequence[int]) -> None:
    """Raise BadInput, saying what to type, where `ios` does not run the recipe or several resolutions (px)."""
    check_ios(ios)
    least = LEAST_IOS.get(recipe.name, ios)
    if ios < least:
        others = ", ".join(name for name in HOW["coreml"] if LEAST_IOS.get(name, ios) <= ios)
        raise BadInput(
            f"The recipe {recipe.name} needs iOS {least}; add --ios {least}, or use --recipe with one of: {others}."
        )
    if len(resolutions) > 1 and ios < MULTIFUNCTION_IOS:
        raise BadInput(
            f"Several resolutions in one Core ML package need iOS {MULTIFUNCTION_IOS}; "
            f"add --ios {MULTIFUNCTION_IOS}, or give one --resolution."
        )

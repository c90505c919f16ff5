"""The targets by name; a target's libraries are imported when it is chosen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lira_export.recipes import Recipe
from lira_runtime.errors import BadInput
from lira_runtime.manifest import TargetName

if TYPE_CHECKING:
    from lira_export.target import Target

TARGETS: tuple[TargetName, ...] = ("onnx", "coreml", "tflite")
USUAL_IOS = 17


def check_limits(target: TargetName, recipe: Recipe, ios: int, resolutions: Sequence[int]) -> None:
    """Raise BadInput where a target's systems do not run a recipe, or several resolutions in one bundle."""
    from lira_export.coreml.limits import check_ios, check_recipe

    check_ios(ios)
    if target == "coreml":
        check_recipe(recipe, ios, resolutions)


def make_target(name: TargetName, ios: int = USUAL_IOS) -> "Target":
    """The target called `name`; `ios` is the oldest iOS that a Core ML package must run on.

    Raises:
        BadInput: a library that it needs is not installed; the message says what to type.
    """
    try:
        if name == "onnx":
            from lira_export.onnx.target import OnnxTarget

            return OnnxTarget()
        if name == "tflite":
            from lira_export.tflite.target import TfliteTarget

            return TfliteTarget()
        from lira_export.coreml.target import CoremlTarget

        return CoremlTarget(ios)
    except ModuleNotFoundError as error:
        if (error.name or "lira").startswith("lira"):  # our own mistake, not a missing extra
            raise
        raise BadInput(
            f"{error.name} is not installed, which --target {name} needs: pip install '.[{name}]' -c constraints.txt.",
            "not_installed",
        ) from error

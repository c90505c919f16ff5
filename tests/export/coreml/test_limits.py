"""What an iOS cannot run is refused with what to type instead, and the recipes agree with the limits."""

import subprocess
import sys

import pytest

from lira_export.coreml.limits import LEAST_IOS, check_recipe
from lira_export.recipes import HOW, RECIPES
from lira_runtime.errors import BadInput


@pytest.mark.parametrize(
    ("recipe", "ios", "resolutions", "typed"),
    [
        ("int4", 16, (256,), "--ios 18"),
        ("int4", 17, (256,), "--ios 18"),
        ("w8a8", 16, (256,), "--ios 17"),
        ("int8", 17, (256, 512), "--ios 18"),
        ("int8", 15, (256,), "--ios with one of: 16, 17, 18"),
    ],
)
def test_what_an_ios_cannot_run_is_refused(recipe: str, ios: int, resolutions: tuple[int, ...], typed: str) -> None:
    with pytest.raises(BadInput, match=typed):
        check_recipe(RECIPES[recipe], ios, resolutions)


def test_the_recipes_offered_instead_do_not_need_more() -> None:
    with pytest.raises(BadInput) as refused:
        check_recipe(RECIPES["int4"], 16, (256,))
    offered = str(refused.value).split("one of: ")[1].rstrip(".").split(", ")
    assert offered == ["fp32", "fp16", "int8", "int6", "mixed"]


@pytest.mark.parametrize("name", HOW["coreml"])
def test_ios_18_runs_every_recipe_at_several_resolutions(name: str) -> None:
    check_recipe(RECIPES[name], 18, (256, 512))


def test_limits_are_of_recipes_that_exist() -> None:
    assert LEAST_IOS.keys() <= HOW["coreml"].keys()


def test_limits_are_known_without_coremltools() -> None:
    code = "import sys, lira_export.coreml.limits; sys.exit('coremltools' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

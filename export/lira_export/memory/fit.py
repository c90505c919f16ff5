"""The least loss that fits a budget: recipe, loading mode and resolution of a bundle, judged by prediction.

The decoder's bands are not among the choices: 16 rows are what takes least (docs/performance.md), whatever the budget.
"""

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from lira.sources import Models
from lira_export.components import build_components
from lira_export.memory.calibration import engine_of
from lira_export.memory.network import Network
from lira_export.memory.predict import Load, PipelineMemory, predict_pipeline
from lira_export.recipes import DEFAULT_RECIPE, HOW, RECIPES, Recipe
from lira_runtime.interface import TEXT_ENCODER
from lira_runtime.manifest import WEIGHTS_MODES, TargetName, WeightsMode
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.profile import STAGES, shown

LOSSES = "losses.toml"
ENOUGH_DB = 40.0
"""From which on more decibels are worth neither memory nor speed: of 400 pictures as many are right by int8, which has
40.3 dB, as by float32 (docs/training.md)."""
HEAD = ("px", "recipe", "weights", "predicted peak", "in the", "expected dB", "")


@dataclass(frozen=True)
class Candidate:
    """One way to export and load a pipeline, and the memory that it is predicted to take; resolution in px."""

    target: TargetName
    resolution: int
    recipe: Recipe
    weights: WeightsMode
    memory: PipelineMemory

    @property
    def psnr_db(self) -> float:
        """Of the denoiser's velocity against eager float32, as the demo has it by the same recipe."""
        return losses()[self.target][self.recipe.name]


@functools.cache
def losses() -> Mapping[TargetName, Mapping[str, float]]:
    """The committed PSNR by target and recipe, in dB."""
    return tomllib.loads(resources.files(__package__).joinpath(LOSSES).read_text())  # type: ignore[return-value]


def networks_of(models: Models, resolutions: Sequence[int]) -> dict[int, list[Network]]:
    """The traced networks of a pipeline by resolution (px), in the order in which they run."""
    found: dict[int, list[Network]] = {}
    text: Network | None = None
    for side in resolutions:
        networks = []
        for component in build_components(models, side):
            if component.name != TEXT_ENCODER:
                networks.append(Network.of(component, side))
            else:
                text = text or Network.of(component, None)
                networks.append(text)
        found[side] = sorted(networks, key=lambda network: STAGES.index(network.component.name))
    return found


def candidates(
    networks: Mapping[int, Sequence[Network]],
    target: TargetName,
    recipes: Sequence[str] = (),
    modes: Sequence[WeightsMode] = (),
) -> list[Candidate]:
    """All that the target can do, best first.

    That is: earlier resolutions, less loss below `ENOUGH_DB`, faster loading modes, the default recipe, less memory.
    recipes and modes: all that there are, where none is named.
    """
    loadable = [mode for mode in modes or WEIGHTS_MODES if mode != "streamed" or engine_of(target).streamed]
    found = [
        Candidate(target, side, RECIPES[recipe], mode, predict_pipeline(run, Load(target, RECIPES[recipe], mode)))
        for side, run in networks.items()
        for recipe in recipes or HOW[target]
        for mode in loadable
    ]
    sides = list(networks)
    return sorted(found, key=lambda each: (sides.index(each.resolution), *_preference(each)))


def _preference(candidate: Candidate) -> tuple[float, ...]:
    """Less is better."""
    return (
        max(ENOUGH_DB - candidate.psnr_db, 0),
        WEIGHTS_MODES.index(candidate.weights),
        candidate.recipe.name != DEFAULT_RECIPE,
        candidate.memory.peak,
    )


def choose(found: Sequence[Candidate], budget: int) -> Candidate | None:
    """The first that fits `budget` bytes."""
    return next((each for each in found if each.memory.peak <= budget), None)


def nearest_miss(found: Sequence[Candidate], everything: Sequence[Candidate], budget: int) -> str:
    """The sentence where none of `found` fits: the nearest, and of `everything` the cheapest change that would fit."""
    nearest = min(found, key=lambda each: each.memory.peak)
    sentence = (
        f"nothing that was asked for fits the budget of {megabytes(budget)}: the nearest is {described(nearest)}, "
        f"predicted at {megabytes(nearest.memory.peak)} in the {shown(nearest.memory.stage)}, "
        f"{megabytes(nearest.memory.peak - budget)} over"
    )
    change = cheapest_change(everything, nearest, budget)
    if change is None:
        return f"{sentence}; no loading mode, recipe or resolution that was looked at would fit."
    return f"{sentence}; the cheapest change that would fit is {_difference(change, nearest)}, predicted at " + (
        f"{megabytes(change.memory.peak)}."
    )


def cheapest_change(found: Sequence[Candidate], asked: Candidate, budget: int) -> Candidate | None:
    """What fits and differs least from what was asked: in the loading mode, then the recipe, then the resolution."""
    order = {id(each): place for place, each in enumerate(found)}
    fitting = [each for each in found if each.memory.peak <= budget]
    return min(
        fitting,
        key=lambda each: (
            each.resolution != asked.resolution,
            -each.resolution,
            each.recipe.name != asked.recipe.name,
            each.weights != asked.weights,
            order[id(each)],
        ),
        default=None,
    )


def _difference(change: Candidate, asked: Candidate) -> str:
    options = {
        f"--resolution {change.resolution}": change.resolution != asked.resolution,
        f"--recipe {change.recipe.name}": change.recipe.name != asked.recipe.name,
        f"--weights {change.weights}": change.weights != asked.weights,
    }
    return " ".join(option for option, differs in options.items() if differs)


def described(candidate: Candidate) -> str:
    """A candidate in a sentence."""
    return f"{candidate.recipe.name} at {candidate.resolution} px, weights {candidate.weights}"


def table(found: Sequence[Candidate], budget: int, chosen: Candidate | None) -> list[str]:
    """Lines: one for each candidate, in order, the chosen one marked."""
    rows = [HEAD]
    for each in found:
        left = budget - each.memory.peak
        verdict = "chosen" if each is chosen else "fits" if left >= 0 else f"{megabytes(-left)} over"
        rows.append(
            (
                str(each.resolution),
                each.recipe.name,
                each.weights,
                megabytes(each.memory.peak),
                shown(each.memory.stage),
                f"{each.psnr_db:.1f}",
                verdict,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

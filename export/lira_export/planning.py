"""What an export comes to before anything is converted: its size, its memory, and what fits a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from lira.sources import Models, Request
from lira_export.components import build_components
from lira_export.memory.calibration import engines
from lira_export.memory.fit import (
    Candidate,
    candidates,
    choose,
    described,
    nearest_miss,
    networks_of,
    table,
)
from lira_export.memory.held import Budget
from lira_export.memory.network import Network
from lira_export.memory.shapes import models_of
from lira_export.recipes import DEFAULT_RECIPE, Recipe, get_recipe
from lira_runtime import events
from lira_runtime.errors import OverBudget
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import TargetName, WeightsMode
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.profile import shown

Name = TypeVar("Name", bound=str)
Show = Callable[[Sequence[str], events.Event], None]
"""Takes lines for people, and the event that stands for them."""
LEAST_SIDE = 256
"""In px: what a smaller picture than was asked for may be."""
NO_PREDICTION = "memory is predicted for whole pipelines in ONNX and TFLite alone"


@dataclass(frozen=True)
class Asked:
    """What the user named, None where nothing: resolutions in px, recipe, loading mode, budget in bytes."""

    resolutions: tuple[int, ...] | None
    recipe: str | None
    weights: WeightsMode | None
    budget: int | None
    components: tuple[str, ...] = COMPONENTS


@dataclass(frozen=True)
class Choice:
    """How to export, and how the bundle loads its weights."""

    recipe: Recipe
    resolutions: tuple[int, ...]
    weights: WeightsMode
    budget: Budget | None = None


class Plan:
    """One request, planned for any of the targets. Raises BadInput for names and sizes that do not fit."""

    def __init__(self, request: Request, asked: Asked) -> None:
        self.models: Models = models_of(request)
        self._asked = asked
        self._resolutions = asked.resolutions or (self.models.resolution,)
        for side in self._resolutions:
            self.models.kind.shape(side, side)
        self._traced: dict[int, list[Network]] = {}

    def show(self, target: TargetName, out: Path, show: Show) -> None:
        """Say what would be written and what it would take. Raises what `choice` does."""
        asked, choice = self._asked, self.choice(target, show)
        recipe = choice.recipe.name
        built = build_components(self.models, choice.resolutions[0], asked.components)
        counts = {each.name: sum(parameter.numel() for parameter in each.eager.parameters()) for each in built}
        lines = [f"{name}: {count:,} parameters, {recipe}, would go to {out}" for name, count in counts.items()]
        plan = events.Plan(bundle=str(out), recipe=recipe, parameters=counts)
        if target not in engines() or asked.components != COMPONENTS:
            show([*lines, NO_PREDICTION], plan)
            return
        found = candidates(self._networks(choice.resolutions), target, (recipe,), (choice.weights,))
        planned = max(found, key=lambda each: each.memory.peak)
        predicted = msgspec.structs.replace(plan, predicted=_record(planned, asked.budget))
        show(lines + _lines(planned, asked.budget), predicted)

    def _networks(self, sides: Sequence[int]) -> dict[int, list[Network]]:
        """The traced networks by resolution (px), each traced once."""
        self._traced |= networks_of(self.models, [side for side in sides if side not in self._traced])
        return {side: self._traced[side] for side in sides}

    def _smaller(self) -> list[int]:
        """Halves of the first resolution, in px."""
        side, sides = self._resolutions[0], []
        while (side := side // 2) >= LEAST_SIDE and side % self.models.kind.step == 0:
            sides.append(side)
        return sides

    def choice(self, target: TargetName, show: Show) -> Choice:
        """What was asked for; with a budget, the best that fits it. Raises OverBudget where nothing does."""
        asked = self._asked
        if asked.budget is None:
            recipe = get_recipe(asked.recipe or DEFAULT_RECIPE, target)
            return Choice(recipe, self._resolutions, asked.weights or "packed")
        networks = self._networks(self._resolutions)
        found = candidates(networks, target, _named(asked.recipe), _named(asked.weights))
        chosen = choose(found, asked.budget)
        weighed = events.Candidates(candidates=tuple(_record(each, asked.budget) for each in found))
        show(table(found, asked.budget, chosen), weighed)
        if chosen is None:
            everything = candidates(networks | self._networks(self._smaller()), target)
            raise OverBudget(nearest_miss(found, everything, asked.budget))
        return Choice(chosen.recipe, (chosen.resolution,), chosen.weights, Budget(asked.budget, chosen.memory.peak))


def _named(name: Name | None) -> tuple[Name, ...]:
    return () if name is None else (name,)


def _lines(planned: Candidate, budget: int | None) -> list[str]:
    """The prediction by stage, and what it means for the budget."""
    memory = planned.memory
    lines = [f"{described(planned)}: predicted peak of the process in the"]
    lines += [f"  {shown(stage)} {megabytes(peak)}" for stage, peak in memory.peaks().items()]
    if budget is not None and memory.peak <= budget:
        lines.append(f"fits the budget of {megabytes(budget)} with {megabytes(budget - memory.peak)} to spare")
    return lines


def _record(planned: Candidate, budget: int | None) -> events.Candidate:
    memory = planned.memory
    return events.Candidate(
        resolution=planned.resolution,
        recipe=planned.recipe.name,
        weights=planned.weights,
        predicted_bytes=memory.peak,
        stages=memory.peaks(),
        psnr_db=planned.psnr_db,
        fits=budget is None or memory.peak <= budget,
    )

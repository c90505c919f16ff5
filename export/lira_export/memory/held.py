"""Whether a bundle that was just written holds the budget that it was made for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lira_export.loaded import own_cache
from lira_runtime.bundle import Bundle
from lira_runtime.errors import OverBudget
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.profile import PIPELINE, Asked, measure

PROMPT, STEPS = "a red apple", 2
MOST_ERROR = 0.15
"""Of a prediction, from which on it is said: a bundle that was chosen by it may not be the best that fits."""


@dataclass(frozen=True)
class Budget:
    """Bytes that a pipeline may take, and what it was predicted to take."""

    nbytes: int
    predicted: int


def hold(folder: Path, budget: Budget, say: Callable[[str], None]) -> None:
    """Run the whole pipeline of the bundle in `folder` in a fresh process; warn where it is not as it was predicted.

    Raises OverBudget where its peak resident memory is above the budget.
    """
    with own_cache(folder):
        peak = measured_peak(folder)
    sentence = f"the whole pipeline takes {megabytes(peak)}, {megabytes(budget.predicted)} were predicted"
    if peak > budget.nbytes:
        over = f"{megabytes(peak - budget.nbytes)} over the budget of {megabytes(budget.nbytes)}"
        raise OverBudget(f"{sentence}: {over}.")
    say(f"memory: {sentence}, the budget is {megabytes(budget.nbytes)}")
    error = peak / budget.predicted - 1
    if abs(error) > MOST_ERROR:
        differs = f"{abs(error):.0%} {'more' if error > 0 else 'less'} memory than was predicted"
        say(f"WARNING: the pipeline takes {differs}; another recipe, loading mode or size may be the best that fits.")


def measured_peak(folder: Path, resolution: int | None = None) -> int:
    """Peak resident bytes of the whole pipeline of a bundle, loaded as its manifest says; resolution in px."""
    bundle = Bundle.open(folder)
    asked = Asked(
        prompt=PROMPT,
        resolution=bundle.resolution(resolution),
        threads=0,
        steps=STEPS,
        weights=bundle.manifest.weights,
    )
    return measure(bundle, asked, PIPELINE).peak

"""What to do about a bundle over its budget: the cheapest change that fits, measured where it can be."""

import dataclasses
from collections.abc import Iterator

from lira_runtime.errors import BadInput
from lira_runtime.manifest import WEIGHTS_MODES
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.child import START
from lira_runtime.memory.profile import Asked, Profile, measure, shown
from lira_runtime.progress import Progress

_BYTES_A_WEIGHT = {"fp32": 4.0, "fp16": 4.0, "int8": 1.0, "int8-dynamic": 1.0, "int4": 0.5}
"""In memory, by recipe: both runtimes unpack float16 to float32 when they load it."""
_STREAMED_VARY = 10_000_000
"""Bytes by which the peak of streamed weights differs from one run to the next, as its pages are given back by a clock:
92 to 101 MB of one bundle of nano, 434 to 443 of small. One run fits a budget only if it leaves that much."""
_SMALLER_RECIPES = {"onnx": ("int8",), "tflite": ("int8", "int4")}


def over_budget(profile: Profile, budget: int, progress: Progress) -> str:
    """The sentence for a profile whose peak is above `budget` bytes: the stage, the overshoot, what would fit."""
    peaks = profile.peaks()
    stage = max(peaks, key=lambda name: peaks[name])
    if stage == START:
        return (
            f"the process takes {megabytes(peaks[START])} before it loads a stage, {megabytes(peaks[START] - budget)} "
            f"over the budget of {megabytes(budget)}; no change to the bundle would fit."
        )
    found = (
        f"the {shown(stage)} takes the process to {megabytes(peaks[stage])}, "
        f"{megabytes(peaks[stage] - budget)} over the budget of {megabytes(budget)}"
    )
    if peaks.get(START, 0) > budget:
        return f"{found}; no change would fit, since it takes {megabytes(peaks[START])} before it loads a stage."
    for change, peak in _changes(profile, budget, progress):
        if peak <= budget:
            return f"{found}; the cheapest change that would fit is {change}."
    return f"{found}; no single change that can be judged here would fit; lira-export --budget weighs combinations."


def _changes(profile: Profile, budget: int, progress: Progress) -> Iterator[tuple[str, int]]:
    """Changes from the cheapest on, and the peak in bytes that each leads to at most."""
    asked, smaller = profile.asked, sorted(profile.bundle.manifest.resolutions, reverse=True)
    if asked.keep_loaded:
        changed = _with(asked, keep_loaded=False)
        yield from _measured(profile, budget, "to drop --keep-loaded", changed, progress)
    modes = WEIGHTS_MODES[WEIGHTS_MODES.index(asked.weights) + 1 :]
    for mode in modes:
        yield from _measured(profile, budget, f"--weights {mode}", _with(asked, weights=mode), progress)
    for mode in modes if asked.keep_loaded else ():
        changed = _with(asked, weights=mode, keep_loaded=False)
        yield from _measured(profile, budget, f"--weights {mode} without --keep-loaded", changed, progress)
    for recipe in _SMALLER_RECIPES[profile.bundle.manifest.target]:
        yield from _recipe(profile, budget, recipe)
    for resolution in (side for side in smaller if side < asked.resolution):
        changed = _with(asked, resolution=resolution)
        yield from _measured(profile, budget, f"--resolution {resolution}", changed, progress)


def _measured(
    profile: Profile, budget: int, change: str, asked: Asked, progress: Progress
) -> Iterator[tuple[str, int]]:
    """Measure again what was over the budget; nothing for a change that this machine or target cannot make."""
    progress.advance(0, f"trying {change}")
    over = [watched.name for watched in profile.watched if watched.peak > budget]
    try:
        peak = max(measure(profile.bundle, asked, name).peak for name in over)
    except BadInput:
        return
    yield f"{change}, measured at {megabytes(peak)}", peak + (_STREAMED_VARY if asked.weights == "streamed" else 0)


def _recipe(profile: Profile, budget: int, recipe: str) -> Iterator[tuple[str, int]]:
    """Judge by the weights in memory: each stage over the budget exported with another recipe."""
    peaks = profile.peaks()
    over = [stage.name for stage in profile.stages if peaks[stage.name] > budget]
    if over:
        peak = max(peaks[stage] - _saved(profile, stage, recipe) for stage in over)
        yield f"the recipe {recipe} for the {' and '.join(map(shown, over))}, about {megabytes(peak)} by weights", peak


def _saved(profile: Profile, stage: str, recipe: str) -> int:
    now, then = profile.bundle.component(stage).recipe, _BYTES_A_WEIGHT[recipe]
    return round(_weights(profile, stage) * max(1 - then / _BYTES_A_WEIGHT.get(now, then), 0))


def _weights(profile: Profile, stage: str) -> int:
    """Bytes of a stage's weights in memory by the manifest, 0 where it does not say.

    What was measured does not tell them from the engine's records and code. Of streamed weights as much is in memory
    by any recipe.
    """
    memory = profile.bundle.graph(stage, profile.asked.resolution).memory
    if memory is None or "streamed" in (profile.asked.weights, profile.bundle.manifest.weights):
        return 0
    return memory.weights_bytes or 0


def _with(asked: Asked, **changes: object) -> Asked:
    return dataclasses.replace(asked, **changes)  # type: ignore[arg-type]

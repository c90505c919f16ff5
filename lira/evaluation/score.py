"""Scores: whether a reading obeys a scene, attribute by attribute, and how sure the shares are.

objects: the things seen are the things asked for, no more and no fewer, wherever they are. relation (pairs): two things
are seen on the asked axis, at least one of the asked things at its place and neither at the other's. place and size
(one thing): the only thing seen stands where, and is as large, as asked. background: its colour. all: everything that
applies.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lira.data.scenes import Scene
from lira.evaluation.judge import Reading, truth

ATTRIBUTES = ("objects", "relation", "place", "size", "background", "all")
Z = 1.959963984540054
"""The normal distribution's quantile for two-sided 95 %."""

Verdict = bool | None
"""None where the attribute does not apply."""
Verdicts = dict[str, Verdict]
"""By attribute."""


@dataclass(frozen=True)
class Share:
    """right of count, and the 95 % interval of the share (both ends in [0, 1])."""

    right: int
    count: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share, in [0, 1]; 0 where the count is 0."""
        return self.right / self.count if self.count else 0.0


@dataclass(frozen=True)
class Difference:
    """Share of one run minus that of another on the same prompts, with its 95 % interval (all in [-1, 1]).

    gained and lost count the prompts that only the first, or only the second, run got right.
    """

    value: float
    low: float
    high: float
    gained: int
    lost: int


def judge_obedience(scene: Scene, reading: Reading) -> Verdicts:
    """Whether the picture that was read has each attribute as the scene asks for it."""
    wanted = _wanted(scene)
    verdicts: Verdicts = dict.fromkeys(ATTRIBUTES)
    verdicts["background"] = reading.background == wanted.background
    verdicts["objects"] = _things(reading) == _things(wanted)
    if scene.second is not None:
        verdicts["relation"] = _related(wanted, reading)
    else:
        alone = len(reading.seen) == 1
        verdicts["place"] = alone and reading.seen.keys() == wanted.seen.keys()
        verdicts["size"] = alone and next(iter(reading.seen.values())).size == scene.size
    verdicts["all"] = False not in verdicts.values()
    return verdicts


def shares(verdicts: Sequence[Verdicts]) -> dict[str, Share]:
    """By attribute, the share of True among the verdicts that apply, with Wilson's interval."""
    return {name: _share(v[name] for v in verdicts) for name in ATTRIBUTES}


def differences(first: Sequence[Verdicts], second: Sequence[Verdicts]) -> dict[str, Difference]:
    """By attribute, first minus second; both judged on the same prompts in the same order."""
    pairs = list(zip(first, second, strict=True))
    return {name: difference([(a[name], b[name]) for a, b in pairs]) for name in ATTRIBUTES}


def ignoring_text(scenes: Sequence[Scene], readings: Sequence[Reading]) -> dict[str, float]:
    """The shares of drawing that ignores its prompt: every picture judged against every prompt but its own."""
    pairs = [(s, r) for i, s in enumerate(scenes) for j, r in enumerate(readings) if i != j]
    return {name: share.value for name, share in shares([judge_obedience(s, r) for s, r in pairs]).items()}


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of right / count; (0, 1) for a count of 0."""
    if count == 0:
        return 0.0, 1.0
    p, spread = right / count, Z * Z / count
    middle = (p + spread / 2) / (1 + spread)
    reach = Z * math.sqrt(p * (1 - p) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def difference(pairs: Iterable[tuple[Verdict, Verdict]]) -> Difference:
    """First minus second on paired verdicts, with the adjusted Wald interval of Bonett and Price (2012).

    As in McNemar's test only discordant pairs decide; one is added to each kind, so that no interval has width 0.
    """
    applies = [(a, b) for a, b in pairs if a is not None and b is not None]
    count = len(applies)
    gained, lost = sum(a and not b for a, b in applies), sum(b and not a for a, b in applies)
    p, q = (gained + 1) / (count + 2), (lost + 1) / (count + 2)
    reach = Z * math.sqrt((p + q - (p - q) ** 2) / (count + 2))
    value = (gained - lost) / count if count else 0.0
    return Difference(value, max(-1.0, p - q - reach), min(1.0, p - q + reach), gained, lost)


def _share(verdicts: Iterable[Verdict]) -> Share:
    applies = [verdict for verdict in verdicts if verdict is not None]
    right = sum(applies)
    return Share(right, len(applies), *wilson(right, len(applies)))


@lru_cache(maxsize=4096)
def _wanted(scene: Scene) -> Reading:
    return truth(scene)


def _things(reading: Reading) -> list[str]:
    return sorted(seen.thing for seen in reading.seen.values())


def _related(wanted: Reading, reading: Reading) -> bool:
    if reading.seen.keys() != wanted.seen.keys():
        return False
    here, there = wanted.seen
    things = {place: seen.thing for place, seen in reading.seen.items()}
    asked = {place: seen.thing for place, seen in wanted.seen.items()}
    in_order = things[here] == asked[here] or things[there] == asked[there]
    swapped = things[here] == asked[there] or things[there] == asked[here]
    return in_order and not swapped

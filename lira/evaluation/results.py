"""What `lira-eval --json` comes to, as events."""

from typing import Any, Literal

import msgspec

from lira_runtime import events


class Share(msgspec.Struct, frozen=True):
    """value: right / count, in [0, 1]; low, high: its 95 % interval."""

    value: float
    right: int
    count: int
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """Of the first run's share and this one's, with its 95 % interval; prompts that only one of them got right."""

    value: float
    low: float
    high: float
    gained: int
    lost: int


class RunSummary(msgspec.Struct, frozen=True):
    """One run: shares by attribute, and what they would be with the text ignored. settings: what drew, and how."""

    name: str
    settings: dict[str, Any]
    shares: dict[str, Share]
    ignoring_text: dict[str, float]
    first_minus_this: dict[str, Difference] | None = None


class Evaluated(events.Result, frozen=True, kw_only=True, tag="result"):
    """What a suite of `count` prompts came to."""

    command: Literal["lira-eval"] = "lira-eval"
    suite: str
    count: int
    runs: tuple[RunSummary, ...]


class Confusion(msgspec.Struct, frozen=True):
    """How often a thing was read as another, or as nothing."""

    shown: str
    read: str
    times: int


class Judged(events.Result, frozen=True, kw_only=True, tag="result"):
    """What the judge gets right on real scenes. backgrounds: rows are shown, columns read."""

    command: Literal["lira-eval judge"] = "lira-eval judge"
    shares: dict[str, Share]
    confused: tuple[Confusion, ...]
    backgrounds: tuple[tuple[int, ...], ...]

"""Judge what artists draw for a suite, and say it as tables and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lira.data.scenes import BACKGROUNDS, Scene
from lira.evaluation.drawing import Artist, Picture
from lira.evaluation.judge import Judge, Reading
from lira.evaluation.judge_training import Accuracy
from lira.evaluation.score import ATTRIBUTES, Verdicts, differences, ignoring_text, judge_obedience, shares
from lira_runtime.progress import Progress

JUDGED_AT_ONCE = 25
GAP = 2
"""Spaces between a table's columns."""


@dataclass(frozen=True)
class Run:
    """One artist on a suite: what the judge read and decided, prompt by prompt, and the first pictures."""

    artist: Artist
    readings: list[Reading]
    verdicts: list[Verdicts]
    kept: list[Picture]


def run_suite(artist: Artist, scenes: Sequence[Scene], judge: Judge, keep: int, progress: Progress) -> Run:
    """Draw and judge every scene of the suite; the first `keep` pictures stay in memory."""
    readings: list[Reading] = []
    kept: list[Picture] = []
    waiting: list[Picture] = []
    for picture in artist.draw([scene.caption for scene in scenes]):
        if len(kept) < keep:
            kept.append(picture)
        waiting.append(picture)
        if len(waiting) == JUDGED_AT_ONCE or len(readings) + len(waiting) == len(scenes):
            readings += judge.read(np.stack(waiting))
            waiting.clear()
        progress.advance(1, artist.name)
    verdicts = [judge_obedience(scene, reading) for scene, reading in zip(scenes, readings, strict=True)]
    return Run(artist, readings, verdicts, kept)


def summary(suite: str, scenes: Sequence[Scene], runs: Sequence[Run]) -> dict[str, Any]:
    """Shares, text-blind baseline and differences from the first run, as plain values (shares in [0, 1])."""
    first = runs[0]
    entries = []
    for run in runs:
        entry: dict[str, Any] = {"name": run.artist.name, "settings": run.artist.settings}
        entry["shares"] = {name: {"value": s.value, **asdict(s)} for name, s in shares(run.verdicts).items()}
        entry["ignoring_text"] = ignoring_text(scenes, run.readings)
        if run is not first:
            against = differences(first.verdicts, run.verdicts)
            entry["first_minus_this"] = {name: asdict(value) for name, value in against.items()}
        entries.append(entry)
    return {"suite": suite, "count": len(scenes), "runs": entries}


def per_prompt(scenes: Sequence[Scene], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """What the judge read and decided for every prompt, in order; prompt i was drawn with seed i."""
    return [
        {
            "prompt": scene.caption,
            "seed": seed,
            "runs": [
                {
                    "seen": {place: asdict(seen) for place, seen in run.readings[seed].seen.items()},
                    "background": run.readings[seed].background,
                    "verdicts": run.verdicts[seed],
                }
                for run in runs
            ],
        }
        for seed, scene in enumerate(scenes)
    ]


def table(result: dict[str, Any]) -> str:
    """The summary for people: per cent with 95 % intervals, differences in points."""
    counts = {name: share["count"] for name, share in result["runs"][0]["shares"].items()}
    rows = [["", *(f"{name} (n={counts[name]})" for name in ATTRIBUTES)]]
    for run in result["runs"]:
        rows.append([run["name"], *(_percent(run["shares"][name]) for name in ATTRIBUTES)])
        rows.append(["  against other prompts", *(f"{100 * run['ignoring_text'][name]:.1f}" for name in ATTRIBUTES)])
        if "first_minus_this" in run:
            points = (_points(run["first_minus_this"][name]) for name in ATTRIBUTES)
            rows.append(["  first run minus this", *points])
    lines = [f"suite {result['suite']}, {result['count']} held-out prompts; per cent right, 95 % interval"]
    lines += _aligned(rows)
    lines.append("against other prompts: the same pictures judged for every prompt but their own, as if the text were")
    lines.append("ignored. objects may stand anywhere; relation: pairs only; place and size: single things only.")
    return "\n".join(lines)


def accuracy_summary(accuracy: Accuracy) -> dict[str, Any]:
    """A judge's accuracy as plain values, the most frequent confusion first."""
    return {
        "shares": {name: {"value": s.value, **asdict(s)} for name, s in accuracy.shares.items()},
        "confused": [
            {"shown": shown, "read": read, "times": times} for (shown, read), times in accuracy.confused.most_common()
        ],
        "backgrounds": accuracy.backgrounds.tolist(),
    }


def accuracy_table(accuracy: Accuracy, most_confused: int = 10) -> str:
    """A judge's accuracy on held-out real scenes, its most confused things, and its backgrounds."""
    lines = [f"judge on {accuracy.shares['all'].count} held-out real scenes; per cent right, 95 % interval"]
    lines += [f"  {name:<12}{_percent(asdict(s) | {'value': s.value})}" for name, s in accuracy.shares.items()]
    lines.append("most confused (shown -> read: times)" if accuracy.confused else "no thing was confused")
    lines += [f"  {a} -> {b}: {times}" for (a, b), times in accuracy.confused.most_common(most_confused)]
    lines.append("backgrounds, shown down, read across")
    lines.append(" " * 10 + "".join(f"{name:>8}" for name in BACKGROUNDS))
    for name, counts in zip(BACKGROUNDS, accuracy.backgrounds, strict=True):
        lines.append(f"  {name:<8}" + "".join(f"{count:>8}" for count in counts))
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows as lines; every column is as wide as its longest cell, the first flush left, the others flush right."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    gap = " " * GAP
    return [
        gap.join([f"{name:<{first}}", *(f"{c:>{w}}" for c, w in zip(cells, others, strict=True))])
        for name, *cells in rows
    ]


def _percent(share: dict[str, Any]) -> str:
    return f"{100 * share['value']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def _points(difference: dict[str, Any]) -> str:
    value, low, high = (100 * difference[key] for key in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"

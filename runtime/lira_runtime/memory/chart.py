"""Memory over time: what a timeline shows, and its drawing as SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.describe import labels
from lira_runtime.memory.profile import PIPELINE, shown
from lira_runtime.memory.watch import Sample, Watched

_WIDTH, _LEFT, _RIGHT, _PLOT_HEIGHT, _BELOW = 960.0, 52.0, 10.0, 260.0, 34.0
_ROW_HEIGHT, _CHARACTER = 19.0, 7.4
_BUCKETS = 600
_TICKS = 5


@dataclass(frozen=True)
class Label:
    """centre: where it points; middle: of its text; row: of those above the plot, from the plot on."""

    text: str
    centre: float
    middle: float
    row: int


def thinned(samples: Sequence[Sample]) -> list[Sample]:
    """At most 600 samples, evenly in time: the highest of each stretch."""
    stretch = samples[-1].seconds / _BUCKETS
    groups = groupby(samples, key=lambda sample: int(sample.seconds / stretch))
    return [max(group, key=lambda sample: sample.reading.resident) for _, group in groups]


def top_bytes(watched: Sequence[Watched], budget: int | None) -> float:
    """The upper end of the axis: above every peak, and above the budget where that does not dwarf them."""
    peak = max(each.peak for each in watched)
    return 1.08 * (max(peak, budget) if budget is not None and budget < 2.5 * peak else peak)


def ticks(top: float) -> Iterator[float]:
    """Round numbers from 0 up to `top`."""
    rough = top / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    for index in range(int(top / step) + 1):
        yield index * step


def placed(texts: Sequence[str], centres: Sequence[float], character: float, left: float, right: float) -> list[Label]:
    """Give each text the lowest row where it meets none before it, within `left` and `right`."""
    ends: list[float] = []
    found = []
    for text, centre in zip(texts, centres, strict=True):
        width = len(text) * character
        start = min(max(centre - width / 2, left), max(right - width, left))
        row = next((index for index, end in enumerate(ends) if end <= start), len(ends))
        ends[row : row + 1] = [start + width + character]
        found.append(Label(text, centre, start + width / 2, row))
    return found


def svg(watched: Watched, top: float, budget: int | None) -> str:
    """One process as an SVG element: stacked areas of memory, bands of phases, the budget's line; `top` in bytes."""
    seconds = watched.samples[-1].seconds
    names = labels(watched)

    def x(at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / seconds

    middles = [x((phase.begin + phase.end) / 2) for phase in watched.phases]
    over = placed(names, middles, _CHARACTER, _LEFT, _WIDTH - _RIGHT)
    head = _ROW_HEIGHT * (1 + max(label.row for label in over)) + 8

    def y(size: float) -> float:
        return head + _PLOT_HEIGHT * (1 - size / top)

    height = head + _PLOT_HEIGHT + _BELOW
    title = f"Memory of the {'whole pipeline' if watched.name == PIPELINE else shown(watched.name)} over time"
    samples = thinned(watched.samples)
    anonymous = [(x(s.seconds), y(s.reading.anonymous)) for s in samples]
    resident = [(x(s.seconds), y(s.reading.anonymous + s.reading.file_backed)) for s in samples]
    floor = [(x(s.seconds), y(0)) for s in samples]
    body = [
        *(_band(index, x(p.begin), x(p.end), y(top), y(0), names[index]) for index, p in enumerate(watched.phases)),
        *(_tick(y(size), size) for size in ticks(top)),
        _area("anonymous", anonymous, floor),
        _area("file", resident, anonymous),
        *(_lead(label, head) for label in over),
        *(_label(label, head) for label in over),
        *(f'<text class="soft" x="{x(at):.1f}" y="{y(0) + 18:.1f}">{at:g} s</text>' for at in ticks(seconds)),
        *([] if budget is None else [_budget(budget, y(budget), budget <= top, head)]),
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


def _band(index: int, left: float, right: float, top: float, bottom: float, name: str) -> str:
    return (
        f'<rect class="band{index % 2}" x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}"><title>{escape(name)}</title></rect>'
    )


def _tick(y: float, size: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT:.1f}" x2="{_WIDTH - _RIGHT:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="soft end" x="{_LEFT - 6:.1f}" y="{y + 4:.1f}">{size / 1e6:g}</text>'
    )


def _area(kind: str, upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *reversed(lower)])
    return f'<polygon class="{kind}" points="{points}"/>'


def _lead(label: Label, head: float) -> str:
    return (
        f'<line class="lead" x1="{label.centre:.1f}" x2="{label.centre:.1f}" y1="{_baseline(label, head) + 3:.1f}" '
        f'y2="{head:.1f}"/>'
    )


def _label(label: Label, head: float) -> str:
    return f'<text class="phase" x="{label.middle:.1f}" y="{_baseline(label, head):.1f}">{escape(label.text)}</text>'


def _baseline(label: Label, head: float) -> float:
    return head - 6 - label.row * _ROW_HEIGHT


def _budget(budget: int, y: float, within: bool, head: float) -> str:
    text = f"budget {megabytes(budget)}"
    right = _WIDTH - _RIGHT
    if not within:
        return f'<text class="over end" x="{right - 4:.1f}" y="{head + 14:.1f}">{text}, above this chart</text>'
    return (
        f'<line class="budget" x1="{_LEFT:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="over end" x="{right - 4:.1f}" y="{y - 5:.1f}">{text}</text>'
    )

"""What a stage is made of, where weights stay and where they are streamed: in the figures, the table and the bars."""

import dataclasses
import re
from collections.abc import Callable

import msgspec
import pytest

from lira_runtime.memory import describe
from lira_runtime.memory.page import page
from lira_runtime.memory.parts import Parts, StageParts
from lira_runtime.memory.profile import Profile
from lira_runtime.memory.reading import Reading
from lira_runtime.memory.watch import Phase, Sample, Watched

MB = 1_000_000
MadeUp = Callable[..., Profile]


def reading(resident: int, anonymous: int) -> Reading:
    return Reading(resident * MB, anonymous * MB, (resident - anonymous) * MB, 0)


def parts(idle: int, loaded: int, mapped: int, working: int) -> Parts:
    return Parts(idle * MB, loaded * MB, mapped * MB, working * MB)


PACKED = Watched(
    "denoiser",
    (
        Phase("import", 0, 1, reading(50, 20), 50 * MB, "kernel"),
        Phase("load", 1, 2, reading(150, 90), 160 * MB, "kernel"),
        Phase("first run", 2, 3, reading(200, 140), 230 * MB, "kernel"),
        Phase("steady run", 3, 4, reading(200, 140), 240 * MB, "kernel"),
    ),
    (
        Sample(1.5, 1.5, reading(155, 110)),
        Sample(2.5, 2.5, reading(220, 150)),
        Sample(3.5, 3.5, reading(235, 160)),
    ),
    240 * MB,
    None,
)
"""Idle 50 MB (20 anonymous); loaded 150 (90), 160 on the way; runs to 240, seen at 235 with 75 of files."""
STREAMED = Watched(
    "decoder",
    (
        Phase("import", 0, 1, reading(57, 29), 57 * MB, "kernel"),
        Phase("load", 1, 2, reading(38, 33), 69 * MB, "kernel"),
        Phase("first run", 2, 3, reading(48, 35), 50 * MB, "kernel"),
        Phase("steady run", 3, 4, reading(48, 35), 49 * MB, "kernel"),
    ),
    (Sample(1.5, 1.5, reading(68, 32)), Sample(2.5, 2.5, reading(49, 34))),
    69 * MB,
    None,
)
"""Loading takes it to 69 MB, then gives back nearly every page of a file, those of the idle process too."""


def test_parts_add_up_to_the_peaks_of_loading_and_of_running() -> None:
    every = StageParts.of(PACKED)
    assert every.loading == parts(idle=50, loaded=70, mapped=15, working=25) and every.loading.peak == 160 * MB
    assert every.running == parts(idle=50, loaded=70, mapped=45, working=75) and every.running.peak == 240 * MB


def test_pages_that_are_given_back_make_no_part_negative() -> None:
    every = StageParts.of(STREAMED)
    assert every.loading == parts(idle=57, loaded=3, mapped=8, working=1) and every.loading.peak == STREAMED.peak
    assert every.running == parts(idle=44, loaded=4, mapped=0, working=2) and every.running.peak == 50 * MB


@pytest.mark.parametrize("stage", [PACKED, STREAMED])
def test_the_figures_the_table_and_the_bars_say_the_same(made_up: MadeUp, stage: Watched) -> None:
    """The bars' widths add up to each moment's share of the longest, which is 100 %."""
    profile = dataclasses.replace(made_up(), stages=(stage,))
    every = msgspec.to_builtins(StageParts.of(stage))
    text = page(profile, None, ["lira-profile", "x"])
    bars = re.findall(rf"<dt>{stage.name}, (loading|running)</dt><dd>(.*?)<i>(\d+) MB</i></dd>", text)
    rows = describe.part_rows(profile)
    longest = max(sum(sizes.values()) for sizes in every.values())
    assert longest == stage.peak and [bar[0] for bar in bars] == [row[1] for row in rows] == ["loading", "running"]
    for (moment, pieces, label), row in zip(bars, rows, strict=True):
        sizes = every[moment]
        widths = [float(width) for width in re.findall(r"width:(-?[\d.]+)%", pieces)]
        assert widths == pytest.approx([100 * size / longest for size in sizes.values()], abs=0.01)
        assert [float(cell) for cell in row[5:]] == [size / MB for size in sizes.values()]
        assert float(label) == float(row[2]) == sum(sizes.values()) / MB

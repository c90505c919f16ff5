"""The report and its picture, of a profile whose figures are known."""

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageColor

from lira_runtime.memory import describe
from lira_runtime.memory.chart import placed, svg, thinned, ticks
from lira_runtime.memory.claims import judged
from lira_runtime.memory.page import page
from lira_runtime.memory.profile import Profile
from lira_runtime.memory.reading import Reading
from lira_runtime.memory.style import ANONYMOUS, BUDGET, FILE_BACKED
from lira_runtime.memory.watch import Phase, Sample, Watched

MB = 1_000_000
START = 90
"""MB: the made-up process at its start."""
MadeUp = Callable[..., Profile]


class _Balance(HTMLParser):
    """Collects the tags, and fails where one is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_beside_it(made_up: MadeUp) -> None:
    text = page(made_up(), 300 * MB, ["lira-profile", "a <bundle>"])
    found = _Balance(text)
    assert found.open == []
    assert not found.seen & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?:|url\(|@import|src=", text)
    assert "<bundle>" not in text and "a &lt;bundle&gt;" in text


def test_the_page_has_the_figures_the_verdict_and_how_it_was_made(made_up: MadeUp) -> None:
    text = page(made_up(), 300 * MB, ["lira-profile", "x", "--budget", "300MB"])
    assert "<dt>peak</dt><dd>320 MB</dd>" in text
    assert "20 MB over the budget of 300 MB." in text
    assert "<dt>anonymous at most</dt><dd>290 MB</dd>" in text
    assert "lira-profile x --budget 300MB" in text
    for system in ("Linux", "Android", "iOS", "Not seen here"):
        assert f"<dt>{system}</dt>" in text


def test_a_partial_bundle_has_stages_and_no_pipeline(made_up: MadeUp) -> None:
    text = page(made_up(partial=True), None, ["lira-profile", "x"])
    assert "Whole pipeline over time" not in text
    assert "a partial bundle" in text
    assert text.count("<svg") == 3


def test_rows_give_predicted_and_measured_over_the_idle_process(made_up: MadeUp) -> None:
    rows = {row[:2]: row[2:] for row in describe.part_rows(made_up())}
    assert rows["denoiser", "loading"] == ("200.0", "-", "-", "50.0", "150.0", "0.0", "0.0")
    assert rows["denoiser", "running"] == ("290.0", "240.0", "-", "50.0", "150.0", "0.0", "90.0")
    assert rows["decoder", "running"] == ("95.0", "45.0", "123.0", "50.0", "5.0", "0.0", "40.0")
    mapped = {row[:2]: row[2:] for row in describe.part_rows(made_up(weights="mapped"))}
    assert mapped["decoder", "running"][2] == "-", "the prediction is of packed weights"
    assert ("denoiser", "load", "200.0", "170.0", "30.0", "200.0", "1.00") in describe.phase_rows(made_up())


def test_a_peak_by_samples_is_marked_in_the_table_and_in_both_timelines(made_up: MadeUp) -> None:
    profile = made_up()
    assert profile.pipeline is not None
    *before, decoder = profile.pipeline.phases
    sampled = dataclasses.replace(decoder, source="sampled")
    pipeline = dataclasses.replace(profile.pipeline, phases=(*before, sampled))
    profile = dataclasses.replace(profile, pipeline=pipeline)
    marked = [row[:2] for row in describe.phase_rows(profile) if "~" in row[5]]
    assert marked == [("whole pipeline", "decoder")]
    assert describe.labels(pipeline)[-2:] == ["denoiser 320 MB", "decoder ~125 MB"]
    text = page(profile, None, ["lira-profile", "x"])
    assert ">decoder ~125 MB</text>" in text and "<td>~125.0</td>" in text
    assert text.count("~: by samples") == 2, "of the table and of the timeline"


def test_what_was_claimed_stands_beside_what_was_predicted_and_measured(made_up: MadeUp) -> None:
    """280 MB of float16 weights and a pipeline of 970 MB; the made-up file has 150 MB, its pipeline peaks at 320."""
    predicted = {"text_encoder": 80, "denoiser": 245, "decoder": 50}
    weights, pipeline = describe.claim_rows(made_up(preset="small", predicted=predicted))
    assert weights == ("denoiser's weights", "280.0", "150.0", "150.0", "of fp16, this is int8")
    assert pipeline == ("pipeline, 1024 px", "970.0", f"{START:.1f} idle + 245.0", "320.0", "wrong: it takes 67% less")
    assert "its idle process, measured, + the greatest stage, predicted" in describe.CLAIM_NOTE
    assert made_up(keep_loaded=True, predicted=predicted).idle_and_predicted is None, "it is of stages in turn"
    half = describe.claim_rows(made_up(preset="small", recipe="fp16"))
    assert half[0][4] == "wrong: it takes 46% less" and half[1][2] == "-"
    assert "Claimed, predicted, measured" in page(made_up(preset="small"), None, ["lira-profile", "x"])


def test_nothing_is_said_of_claims_that_were_not_made(made_up: MadeUp) -> None:
    assert describe.claim_rows(made_up()) == []
    assert len(describe.claim_rows(made_up(preset="small", resolution=512))) == 1
    assert len(describe.claim_rows(made_up(preset="base", partial=True))) == 1
    assert "Claimed" not in page(made_up(), None, ["lira-profile", "x"])


@pytest.mark.parametrize(("measured", "said"), [(104, "right"), (96, "right"), (110, "more"), (90, "less")])
def test_a_claim_is_right_within_5_percent(measured: int, said: str) -> None:
    assert judged(100, measured).endswith(said)


def test_a_chart_puts_memory_and_budget_at_their_heights() -> None:
    """Half of the axis resident, a quarter of it anonymous, the budget at three quarters."""
    reading = Reading(100 * MB, 50 * MB, 50 * MB, 0)
    phases = (Phase("load", 0, 5, reading, 100 * MB, "kernel"), Phase("run", 5, 10, reading, 100 * MB, "kernel"))
    watched = Watched("decoder", phases, (Sample(0, 0, reading), Sample(10, 10, reading)), 100 * MB, None)
    drawn = ElementTree.fromstring(svg(watched, 200 * MB, 150 * MB))
    shapes = {shape.get("class"): shape for shape in drawn}
    band = shapes["band0"]
    top, height = float(band.get("y", "")), float(band.get("height", ""))
    areas = {
        kind: sorted({float(point.split(",")[1]) for point in shapes[kind].get("points", "").split()})
        for kind in ("anonymous", "file")
    }
    assert areas["anonymous"] == pytest.approx([top + 0.75 * height, top + height], abs=0.2)
    assert areas["file"] == pytest.approx([top + 0.5 * height, top + 0.75 * height], abs=0.2)
    assert float(shapes["budget"].get("y1", "")) == pytest.approx(top + 0.25 * height, abs=0.2)
    assert float(band.get("width", "")) * 2 == pytest.approx(float(shapes["budget"].get("x2", "")) - 52, abs=0.2)


def test_a_budget_far_above_the_memory_does_not_flatten_the_chart(made_up: MadeUp) -> None:
    text = page(made_up(), 5000 * MB, ["lira-profile", "x"])
    assert "budget 5000 MB, above this chart" in text and 'class="budget"' not in text


def test_labels_do_not_meet() -> None:
    texts = ["start", "text encoder", "denoiser", "decoder", "end"]
    every = placed(texts, [10, 20, 40, 95, 99], 2.0, 0.0, 100.0)
    spans = [(label.row, label.middle - len(label.text), label.middle + len(label.text)) for label in every]
    assert all(0 <= start and end <= 100 for _, start, end in spans)
    for index, (row, start, end) in enumerate(spans):
        assert all(row != other or end <= first or last <= start for other, first, last in spans[:index])
    assert max(row for row, _, _ in spans) > 0, "there was no need for a second row: this proves nothing"


def test_thinning_keeps_the_highest_moment() -> None:
    samples = [Sample(at / 1000, at / 1000, Reading(at % 7, 0, 0, 0)) for at in range(1, 9000)]
    samples[4321] = Sample(samples[4321].seconds, samples[4321].seconds, Reading(99, 0, 0, 0))
    kept = thinned(samples)
    assert len(kept) <= 601
    assert samples[4321] in kept
    assert [sample.seconds for sample in kept] == sorted(sample.seconds for sample in kept)


@pytest.mark.parametrize(
    ("top", "expected"),
    [(350, [0, 100, 200, 300]), (100, [0, 20, 40, 60, 80, 100]), (0.7, [0, 0.2, 0.4, 0.6]), (11, [0, 2.5, 5, 7.5, 10])],
)
def test_ticks_are_round(top: float, expected: list[float]) -> None:
    assert list(ticks(top)) == pytest.approx(expected)


def test_the_picture_shows_both_kinds_of_memory_and_the_budget(made_up: MadeUp, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from lira_runtime.memory.plot import write_plot

    write_plot(made_up(), 300 * MB, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    shares = [np.mean((pixels == ImageColor.getrgb(colour)).all(1)) for colour in (ANONYMOUS, FILE_BACKED, BUDGET)]
    assert shares[0] > shares[1] > shares[2] > 1e-4

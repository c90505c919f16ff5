"""The picture of a training curve."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_lines import read_events
from PIL import Image

from lira.training import cli
from lira.training.curve import plot_curve
from lira.training.watch import read_curve
from lira_runtime.errors import BadInput


def test_a_curve_is_plotted_and_another_file_is_refused_by_its_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the bench extra")
    curve = tmp_path / "curve.jsonl"
    points = '{"step": 1, "loss": 1.6, "velocity": 1.5}\n{"step": 2, "loss": 1.1, "velocity": 1.0}\n'
    curve.write_text(points + '{"step": 3, "lo')
    plot_curve(curve, tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size == (960, 540)
    curve.write_text("step 1\nstep 2\n")
    with pytest.raises(BadInput, match="Line 1"):
        plot_curve(curve, tmp_path / "curve.png")


def test_a_plots_place_is_said_to_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="plots need the bench extra")
    curve, out = tmp_path / "curve.jsonl", tmp_path / "curve.png"
    curve.write_text('{"step": 1, "loss": 1.6}\n')
    monkeypatch.setattr("sys.argv", ["lira-train", "curve", str(curve), "--out", str(out), "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    (result,) = read_events(capsys.readouterr().out)
    assert (ended.value.code, result["command"], result["out"]) == (0, "lira-train", str(out))
    assert Image.open(out).size == (960, 540)


Lines = dict[str, tuple[list[float], list[float]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Every line that is plotted, x and y by label."""
    axes = pytest.importorskip("matplotlib.axes", reason="plots need the bench extra").Axes
    plot, found = axes.plot, {}

    def noted(self: Any, x: Any, y: Any, **look: Any) -> Any:
        found[look["label"]] = list(x), list(y)
        return plot(self, x, y, **look)

    monkeypatch.setattr(axes, "plot", noted)
    return found


def plot(folder: Path, terms: Sequence[dict[str, float]]) -> None:
    points = [{"step": step, **term} for step, term in enumerate(terms, 1)]
    (folder / "curve.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))
    plot_curve(folder / "curve.jsonl", folder / "curve.png")


def test_a_denoisers_plot_is_of_its_velocity_and_anothers_of_its_loss(tmp_path: Path, lines: Lines) -> None:
    plot(tmp_path, [{"loss": 5.0, "velocity": 3.0}, {"loss": 6.0, "velocity": 2.0}])
    assert lines["each step"] == ([1, 2], [3.0, 2.0])
    plot(tmp_path, [{"loss": 5.0, "pixel": 3.0}, {"loss": 6.0, "pixel": 2.0}])
    assert lines["each step"] == ([1, 2], [5.0, 6.0])


@pytest.mark.parametrize(("count", "window", "every"), [(500, 5, 1), (4000, 40, 4)])
def test_one_step_far_off_does_not_move_the_running_median(
    tmp_path: Path, lines: Lines, count: int, window: int, every: int
) -> None:
    losses = np.random.default_rng(0).uniform(0.2, 0.4, count).tolist()
    losses[count // 2] = 220.0
    plot(tmp_path, [{"loss": 9.0, "velocity": loss} for loss in losses])
    ends = list(range(window, count + 1, every))
    steps, medians = lines[f"median of {window}"]
    assert steps == ends and max(medians) < 0.4
    assert medians == pytest.approx([statistics.median(losses[end - window : end]) for end in ends])


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1}',
        '{"step": "3", "loss": 1}',
        '{"step": true, "loss": 1}',
        '{"step": 1, "loss": "1"}',
        '{"step": 1, "loss": 1, "rate": null}',
        '{"step": 1, "loss": 1' + 400 * "0" + "}",
        "[1]",
    ],
)
def test_a_line_that_is_no_point_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    good = '{"step": 1, "loss": 1.6}\n'
    (tmp_path / "curve.jsonl").write_text(good + line + "\n" + good)
    with pytest.raises(BadInput, match="Line 2 of .* is no point"):
        read_curve(tmp_path / "curve.jsonl")

"""The picture of a training curve."""

from pathlib import Path

import pytest
from PIL import Image

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

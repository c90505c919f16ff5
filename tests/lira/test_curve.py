"""The picture of a training curve."""

from pathlib import Path

import pytest
from PIL import Image

from lira.training.curve import plot_curve
from lira_runtime.errors import BadInput


def test_a_curve_is_plotted_and_another_file_is_refused_by_its_line(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the bench extra")
    curve = tmp_path / "curve.jsonl"
    curve.write_text('{"step": 1, "velocity": 1.5}\n{"step": 2, "velocity": 1.0}\n{"step": 3, "vel')
    plot_curve(curve, tmp_path / "curve.png")
    assert Image.open(tmp_path / "curve.png").size == (960, 540)
    curve.write_text("step 1\nstep 2\n")
    with pytest.raises(BadInput, match="Line 1"):
        plot_curve(curve, tmp_path / "curve.png")

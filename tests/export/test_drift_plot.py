"""The plot of the drift: what it shows, and where `lira-export` leaves it."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from matplotlib.axes import Axes
from PIL import Image
from toy_bundle import write_toy_bundle

from lira_export.drift_plot import Curve, drift_png, write_drift_plot
from lira_runtime import manifest

DRAWN = manifest.Trajectory(
    prompt="a cat", seed=0, steps=3, guidance=3.0, drift_db=(50, 45, 42), image_psnr_db=41, threshold_db=30, passed=True
)
SMALL = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[float], list[float], str | None]]:
    """Every line and level that is plotted: x, y and label."""
    plot, level, found = Axes.plot, Axes.axhline, []

    def noted(self: Any, x: Any, y: Any, *marker: str, **look: Any) -> Any:
        found.append((list(x), list(y), look.get("label")))
        return plot(self, x, y, *marker, **look)

    def noted_level(self: Any, y: float, **look: Any) -> Any:
        found.append(([], [y], look["label"]))
        return level(self, y, **look)

    monkeypatch.setattr(Axes, "plot", noted)
    monkeypatch.setattr(Axes, "axhline", noted_level)
    return found


def test_a_curve_ends_in_the_picture_and_equality_is_said_not_drawn(lines: list[Any]) -> None:
    png = drift_png([Curve("int8", (50, 200, 42), 41), Curve("$again", (200, 200, 200), 200)], threshold_db=30)
    assert lines == [
        ([1, 3], [50, 42], "int8"),
        ([4.0], [41], None),
        ([], [], "$again: equal"),
        ([], [30], "picture needs 30 dB"),
    ]
    assert Image.open(BytesIO(png)).format == "PNG"


@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_any_number_of_steps_has_a_plot(steps: int) -> None:
    assert Image.open(BytesIO(drift_png([Curve("a", [40.0] * steps, 40.0)]))).size == (1008, 518)


def test_a_plot_is_replaced_whole(tmp_path: Path) -> None:
    goal = tmp_path / "nano-drift.png"
    goal.write_text("an older plot")
    write_drift_plot(goal, "nano", DRAWN)
    assert Image.open(goal).format == "PNG" and list(tmp_path.iterdir()) == [goal]


@pytest.mark.parametrize("drawn", [DRAWN, None])
def test_an_export_leaves_the_plot_beside_a_bundle_that_draws(
    drawn: manifest.Trajectory | None, tmp_path: Path, run_export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy_bundle(tmp_path / "toy")
    written = msgspec.structs.replace(manifest.load(tmp_path / "toy"), trajectory=drawn)
    monkeypatch.setattr("lira_export.bundle.write_bundle", lambda order, *more: written)
    code, out, _ = run_export(*SMALL, "--out", str(tmp_path / "new"))
    plot = tmp_path / "new-drift.png"
    assert code == 0
    assert plot.exists() == (str(plot) in out) == (drawn is not None)


def test_a_plot_that_cannot_be_written_is_refused_before_work(tmp_path: Path, run_export: Run) -> None:
    (tmp_path / "new-drift.png").mkdir()
    code, out, err = run_export(*SMALL, "--out", str(tmp_path / "new"))
    assert (code, out) == (2, "") and len(err.splitlines()) == 1 and "new-drift.png is a directory" in err
    assert not (tmp_path / "new").exists()

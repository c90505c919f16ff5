"""A picture of a training curve: the loss over steps, of a denoiser the velocity's alone, and its running median."""

from pathlib import Path

import numpy as np

from lira.training.watch import read_curve
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write


def plot_curve(curve: Path, out: Path) -> None:
    """Draw curve.jsonl as a PNG. Raises BadInput for a file that is no curve, or where matplotlib is missing."""
    points = read_curve(curve)
    if not points:
        raise BadInput(f"{curve} holds no steps yet.")
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise BadInput("The plot needs matplotlib: pip install '.[bench]' -c constraints.txt") from error
    steps = np.array([point["step"] for point in points])
    name = "velocity" if all("velocity" in point for point in points) else "loss"
    loss = np.array([point[name] for point in points])
    window = max(1, len(points) // 100)
    # A mean would follow a single step that is a thousand times the others. Ten medians a window are enough to see.
    shown = slice(None, None, max(1, window // 10))
    median = np.median(np.lib.stride_tricks.sliding_window_view(loss, window)[shown], axis=1)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="velocity loss" if name == "velocity" else name, yscale="log")
    axes.plot(steps, loss, color="0.8", linewidth=0.5, label="each step")
    axes.plot(steps[window - 1 :][shown], median, label=f"median of {window}")
    axes.legend()
    with atomic_write(out) as part:
        figure.savefig(part, format="png", dpi=120)

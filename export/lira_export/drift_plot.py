"""A picture of the drift: dB by step, one curve for each drawing that is compared with the same reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lira_export.gates import MOST_DB
from lira_runtime.files import atomic_write
from lira_runtime.manifest import Trajectory

DOTS_PER_INCH = 144
STEP_LABELS = 10
"""At most, below the axis."""


@dataclass(frozen=True)
class Curve:
    """drift_db: of the latent after each step; picture_db: of the final picture. Equality is `MOST_DB` or more."""

    name: str
    drift_db: Sequence[float]
    picture_db: float


def drift_png(curves: Sequence[Curve], threshold_db: float | None = None) -> bytes:
    """Draw curves of equally many steps, one at least, as a PNG.

    The picture's dB stand behind the last step, where the threshold that it has to reach is drawn too. Equality has no
    place on the axis: it is said in the legend.
    """
    figure = Figure(figsize=(7, 3.6), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.add_subplot(xlabel="denoising step", ylabel="PSNR against the reference, dB")
    steps = len(curves[0].drift_db)
    after = steps + max(1.0, steps / 10)  # where the picture stands
    for curve in curves:
        points = [(x, db) for x, db in enumerate(curve.drift_db, start=1) if db < MOST_DB]
        label = curve.name if points or curve.picture_db < MOST_DB else f"{curve.name}: equal"
        (line,) = axes.plot([x for x, _ in points], [db for _, db in points], marker=".", label=label)
        if curve.picture_db < MOST_DB:
            axes.plot([after], [curve.picture_db], "o", fillstyle="none", color=line.get_color())
    if threshold_db is not None:
        axes.axhline(threshold_db, color="0.5", linestyle="--", linewidth=1, label=f"picture needs {threshold_db:g} dB")
    axes.set_xlim(0.5, after + after - steps)
    ticks = [tick for tick in MaxNLocator(STEP_LABELS, integer=True).tick_values(1, steps) if 1 <= tick <= steps]
    axes.set_xticks([*ticks, after], [*(f"{tick:.0f}" for tick in ticks), "picture"])
    axes.grid(alpha=0.25)
    for text in axes.legend(fontsize="small").get_texts():
        text.set_parse_math(False)  # a folder may be called a$b
    png = BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def write_drift_plot(goal: Path, name: str, drawn: Trajectory) -> None:
    """Write the plot of one bundle. Raises BadInput where `goal` cannot become a file."""
    png = drift_png([Curve(name, drawn.drift_db, drawn.image_psnr_db)], drawn.threshold_db)
    with atomic_write(goal) as part:
        part.write_bytes(png)

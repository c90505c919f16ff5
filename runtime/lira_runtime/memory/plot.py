"""The timelines of a report as one PNG."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke

from lira_runtime.memory import describe
from lira_runtime.memory.budget import megabytes
from lira_runtime.memory.chart import placed, thinned, top_bytes
from lira_runtime.memory.profile import Profile, shown
from lira_runtime.memory.style import ANONYMOUS, BAND, BUDGET, FILE_BACKED, INK, SOFT
from lira_runtime.memory.watch import Watched

_WIDTH_INCHES, _FIRST_INCHES, _OTHER_INCHES = 10.0, 3.6, 2.5
_CHARACTER_SHARE = 0.0098
"""Of the axes' width, at the size of a label."""
_ROW_POINTS = 11
_HALO = [withStroke(linewidth=2.5, foreground="white")]


def write_plot(profile: Profile, budget: int | None, path: Path) -> None:
    """Draw every process of a profile, the pipeline first; budget in bytes."""
    heights = [_FIRST_INCHES] + [_OTHER_INCHES] * (len(profile.watched) - 1)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(_WIDTH_INCHES, sum(heights) + 0.8), dpi=150, layout=layout, facecolor="white")
    top = top_bytes(profile.watched, budget)
    figure.suptitle(f"Memory of {profile.bundle.path.name}", x=0.012, ha="left", fontsize=13, fontweight="bold")
    every = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, watched in zip(every, profile.watched, strict=True):
        _draw(axes, watched, top, budget)
    figure.legend(*every[0].get_legend_handles_labels(), loc="upper right", ncols=2, fontsize=9, frameon=False)
    said = f"{describe.settings_line(profile)}\n{describe.SAMPLED}"
    every[-1].set_xlabel(said, fontsize=8, color=SOFT, loc="left")
    figure.savefig(path, format="png")


def _draw(axes: Axes, watched: Watched, top: float, budget: int | None) -> None:
    samples = thinned(watched.samples)
    seconds = [sample.seconds for sample in samples]
    axes.stackplot(
        seconds,
        [sample.reading.anonymous / 1e6 for sample in samples],
        [sample.reading.file_backed / 1e6 for sample in samples],
        labels=["anonymous", "file-backed"],
        colors=[ANONYMOUS, FILE_BACKED],
        linewidth=0,
        zorder=2,
    )
    for phase in watched.phases[::2]:
        axes.axvspan(phase.begin, phase.end, color=BAND, zorder=0)
    axes.grid(axis="y", color="#e1e3e8", linewidth=0.7, zorder=1)
    axes.set_xlim(0, seconds[-1])
    axes.set_ylim(0, top / 1e6)
    axes.set_ylabel("MB", fontsize=8, color=SOFT)
    axes.tick_params(labelsize=8, colors=SOFT, length=0)
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.spines[:].set_visible(False)
    rows = _label(axes, watched, seconds[-1])
    axes.set_title(
        shown(watched.name), loc="left", fontsize=10, fontweight="bold", color=INK, pad=8 + _ROW_POINTS * rows
    )
    if budget is not None:
        _budget(axes, budget, top)


def _label(axes: Axes, watched: Watched, seconds: float) -> int:
    """Write the phases above the axes; return the number of rows that it took."""
    centres = [(phase.begin + phase.end) / 2 / seconds for phase in watched.phases]
    every = placed(describe.labels(watched), centres, _CHARACTER_SHARE, 0.0, 1.0)
    for label in every:
        lift = 4 + _ROW_POINTS * label.row
        if label.row:
            axes.annotate(
                "",
                xy=(label.centre, 1.0),
                xycoords="axes fraction",
                xytext=(0, lift),
                textcoords="offset points",
                arrowprops={"arrowstyle": "-", "color": SOFT, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0},
            )
        axes.annotate(
            label.text,
            xy=(label.middle, 1.0),
            xycoords="axes fraction",
            xytext=(0, lift),
            textcoords="offset points",
            fontsize=8,
            color=INK,
            ha="center",
            path_effects=_HALO,
        )
    return 1 + max(label.row for label in every)


def _budget(axes: Axes, budget: int, top: float) -> None:
    text = f"budget {megabytes(budget)}"
    within = budget <= top
    if within:
        axes.axhline(budget / 1e6, color=BUDGET, linewidth=1.2, linestyle=(0, (5, 3)), zorder=3)
    axes.annotate(
        text if within else f"{text}, above this chart",
        xy=(0.995, budget / top if within else 1.0),
        xycoords="axes fraction",
        xytext=(0, 3 if within else -10),
        textcoords="offset points",
        fontsize=8,
        fontweight="bold",
        color=BUDGET,
        ha="right",
        path_effects=_HALO,
        zorder=4,
    )

"""The plot of `sensitivity.py`: layers on the left, tensors of the scan on the right, the most sensitive on top."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lira_export.recipes import FLOAT16, INT8
from report import Row, figure

INCHES_HIGH = 5.6
NOTHING_DB = 125.0
"""From here on there is nothing to see but float32's own rounding: such points are left out."""
COLOURS = {True: "#c8590a", False: "#1b7fbd", None: "#666666"}
MEANINGS = {True: "kept float by the recipe int8", False: "quantized by it", None: "several together"}
MARKERS = {"float16, differences": ("o", "white"), "float16, segment sums": ("D", "black")}
LIMITS = {"least that int8 allows": (INT8, "--"), "least that fp16 allows": (FLOAT16, ":")}


def draw(layers: Sequence[Row], scan: Sequence[Row], goal: Path) -> None:
    """Worst PSNR of each part in int8, coloured by whether the recipe int8 keeps it float; float16 as markers."""
    with figure(goal, columns=2, height=INCHES_HIGH) as (left, right):
        _bars(left, layers, "int8 weights and inputs")
        left.set_title("Layers: int8 weights and 8-bit inputs")
        _bars(right, scan, "8 bits, differences")
        for what, (marker, face) in MARKERS.items():
            seen = [row for row in scan if row["what"] == what and row["worst dB"] < NOTHING_DB]
            parts, decibels = [row["part"] for row in seen], [row["worst dB"] for row in seen]
            right.plot(decibels, parts, marker, color="black", markerfacecolor=face, label=what)
        right.set_title("Tensors of the scan: 8 bits (bars), float16")
        for axes in (left, right):
            _finish(axes)
        left.figure.legend(*_legend(right), loc="outside lower center", ncols=3, frameon=False)


def _bars(axes: Any, rows: Sequence[Row], what: str) -> None:
    """Horizontal bars of the rows of one rounding, the shortest on top, each with its value."""
    chosen = sorted((row for row in rows if row["what"] == what), key=lambda row: -row["worst dB"])
    lengths = [min(row["worst dB"], NOTHING_DB) for row in chosen]
    axes.barh([row["part"] for row in chosen], lengths, color=[COLOURS[row["kept float"]] for row in chosen])
    for height, row in enumerate(chosen):
        axes.text(1, height, f"{row['worst dB']:.0f}", color="white", fontweight="bold", va="center_baseline")


def _finish(axes: Any) -> None:
    for name, (recipe, style) in LIMITS.items():
        axes.axvline(recipe.least_psnr_db["denoiser"], color="black", linestyle=style, linewidth=1.2, label=name)
    axes.set_xlabel("worst PSNR against eager float32, dB")
    axes.set_xlim(left=0)
    axes.margins(y=0.01)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    """Handles and labels: the colours, then what the right panel has."""
    from matplotlib.patches import Patch  # an extra that a table does not need

    handles, labels = axes.get_legend_handles_labels()
    return [*(Patch(color=COLOURS[kept]) for kept in MEANINGS), *handles], [*MEANINGS.values(), *labels]

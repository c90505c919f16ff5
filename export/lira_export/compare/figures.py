"""What a comparison found, as plain numbers: for the table, the page and JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, median_low
from typing import Literal

from lira_export.compare.columns import Column
from lira_export.compare.draw import Asked
from lira_export.compare.measure import Measured
from lira_export.drift import drift_db, picture_psnr_db
from lira_export.gates import MOST_DB
from lira_runtime import events
from lira_runtime.manifest import Parity

WORDS = ("bundle", "format", "recipe")
SUMMARY = (*WORDS, "MB", "worst dB", "median dB", "seconds", "peak MB")
"""Of a column: on disk, of its pictures against the reference's, of a drawing, and resident while it drew."""


@dataclass(frozen=True)
class Drawn:
    """One prompt by one column, against the reference: picture_db and drift_db by step, at most `MOST_DB`, equality.

    seconds: of the whole drawing, loading included.
    """

    picture_db: float
    drift_db: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Figures:
    """One column. By component, of the manifest: size_bytes on disk, weight_bytes by dtype, parity; none for eager.

    By stage: seconds, the median of the drawings; peak_bytes, resident memory of the whole process, the greatest.
    idle_bytes: what the process held before it drew. manifest_picture_db: as the exporter measured it.
    """

    name: str
    format: str
    recipe: str
    engine: str
    size_bytes: dict[str, int]
    weight_bytes: dict[str, dict[str, int]]
    parity: dict[str, Parity]
    manifest_picture_db: float | None
    seconds: dict[str, float]
    peak_bytes: dict[str, int]
    idle_bytes: int
    drawn: tuple[Drawn, ...]

    @property
    def worst_picture_db(self) -> float:
        """Of all prompts."""
        return min(each.picture_db for each in self.drawn)

    @property
    def median_picture_db(self) -> float:
        """Of all prompts; the lower of two in the middle, for equality has no mean with a number."""
        return median_low(each.picture_db for each in self.drawn)

    @property
    def median_seconds(self) -> float:
        """Of a drawing."""
        return median(each.seconds for each in self.drawn)


class Compared(events.Result, frozen=True, kw_only=True, tag="result"):
    """The page is written. reference: the name of the first column; notes: what is to be known beside the figures."""

    command: Literal["lira-compare"] = "lira-compare"
    file: str
    asked: Asked
    reference: str
    columns: tuple[Figures, ...]
    notes: tuple[str, ...]


def figures_of(measured: Measured, reference: Measured) -> Figures:
    """Compare one column's drawings with the reference's."""
    column, drawings = measured.column, measured.drawings
    components = () if column.eager else column.bundle.manifest.components
    trajectory = None if column.eager else column.bundle.manifest.trajectory
    stages = [stage.stage for stage in drawings[0].stages]
    return Figures(
        name=column.name,
        format="eager" if column.eager else column.bundle.manifest.target,
        recipe=_recipe(column),
        engine=column.engine,
        size_bytes={each.name: sum(file.bytes for file in each.files) for each in components},
        weight_bytes={each.name: each.contents.weight_bytes for each in components},
        parity={each.name: each.parity for each in components},
        manifest_picture_db=None if trajectory is None else trajectory.image_psnr_db,
        seconds={name: median(each.stages[i].seconds for each in drawings) for i, name in enumerate(stages)},
        peak_bytes={name: max(each.stages[i].peak_bytes for each in drawings) for i, name in enumerate(stages)},
        idle_bytes=measured.idle_bytes,
        drawn=tuple(
            Drawn(
                picture_db=min(picture_psnr_db(found.image, wanted.image), MOST_DB),
                drift_db=tuple(min(db, MOST_DB) for db in drift_db(found, wanted)),
                seconds=found.seconds,
            )
            for found, wanted in zip(drawings, reference.drawings, strict=True)
        ),
    )


def weights_by_dtype(figures: Figures) -> Counter[str]:
    """Bytes of all components' weights together."""
    total: Counter[str] = Counter()
    for sizes in figures.weight_bytes.values():
        total.update(sizes)
    return total


def decibels(value: float, unit: str = "") -> str:
    """For people: "equal" where nothing differs."""
    return "equal" if value >= MOST_DB else f"{value:.1f}{unit}"


def summary_row(figures: Figures, is_reference: bool) -> tuple[str, ...]:
    """Cells below `SUMMARY`."""
    size = sum(figures.size_bytes.values())
    return (
        figures.name,
        figures.format,
        figures.recipe,
        f"{size / 1e6:.1f}" if size else "–",
        "reference" if is_reference else decibels(figures.worst_picture_db),
        "" if is_reference else decibels(figures.median_picture_db),
        f"{figures.median_seconds:.2f}",
        f"{max(figures.peak_bytes.values()) / 1e6:.0f}",
    )


def table(every: Sequence[Figures]) -> list[str]:
    """Lines, the first column of the comparison being the reference."""
    rows = [SUMMARY, *(summary_row(figures, figures is every[0]) for figures in every)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if column in WORDS else cell.rjust(width)
            for column, cell, width in zip(SUMMARY, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _recipe(column: Column) -> str:
    if column.eager:
        return "float32"
    return ", ".join(dict.fromkeys(component.recipe for component in column.bundle.manifest.components))

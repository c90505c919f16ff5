"""How every script shows what it measured: a table for people, an event for programs, a plot for the docs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from lira_runtime.events import Measured, emit
from lira_runtime.files import atomic_write, check_writable_file

Row = Mapping[str, Any]
DOTS_PER_INCH = 120


def show_figures(title: str, figures: Mapping[str, float], as_json: bool) -> None:
    """One figure a line; in JSON an event."""
    if as_json:
        emit(Measured(title=title, figures=dict(figures)))
        return
    click.echo(title)
    for name, value in figures.items():
        click.echo(f"  {name:44}{value:12.2f}")


def show_rows(title: str, rows: Sequence[Row], figures: Mapping[str, float], as_json: bool) -> None:
    """A table of rows that have the same columns, then figures; in JSON an event."""
    if as_json:
        emit(Measured(title=title, rows=tuple(map(dict, rows)), figures=dict(figures)))
        return
    show_figures(title, figures, as_json=False)
    columns = list(rows[0]) if rows else []
    widths = {c: max(len(c), *(len(_cell(row[c])) for row in rows)) for c in columns}
    click.echo("  " + "  ".join(f"{c:>{widths[c]}}" for c in columns))
    for row in rows:
        click.echo("  " + "  ".join(f"{_cell(row[c]):>{widths[c]}}" for c in columns))


@contextmanager
def figure(goal: Path, columns: int = 1, height: float = 4) -> Iterator[Sequence[Any]]:
    """Axes beside each other, `height` inches high, drawn without a screen and saved as PNG at the end.

    Raises:
        BadInput: `goal` cannot be written.
    """
    check_writable_file(goal)
    from matplotlib.figure import Figure  # an extra that a table does not need

    drawing = Figure(figsize=(1.5 + 5 * columns, height), layout="constrained", dpi=DOTS_PER_INCH)
    yield [drawing.add_subplot(1, columns, index + 1) for index in range(columns)]
    with atomic_write(goal) as part:
        drawing.savefig(part, format="png")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)

"""`lira-compare`: bundles and prompts in, one page out that shows them side by side."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lira_runtime.backends.limits import MAX_THREADS
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_bundle
from lira_runtime.errors import EXIT_CODES_HELP, cli_guard
from lira_runtime.events import JSON_HELP, emit
from lira_runtime.files import atomic_write, check_outputs, check_png_name
from lira_runtime.noise import SEED_LIMIT
from lira_runtime.pipeline import Pipeline
from lira_runtime.progress import Progress
from lira_runtime.sampler import MAX_GUIDANCE, MAX_STEPS
from lira_runtime.say import say

if TYPE_CHECKING:
    from lira_export.compare.columns import Column
    from lira_export.compare.draw import Asked
    from lira_export.compare.figures import Figures
    from lira_export.compare.measure import Measured

FILE = click.Path(path_type=Path)
SHEET_SIDE = 192
"""Of a picture on the contact sheet, px."""


@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True, type=FILE, shell_complete=complete_bundle)
@click.option("--prompt", "prompts", multiple=True, required=True, help="What to draw; repeatable.")
@click.option("--html", type=FILE, required=True, help="Page to write.")
@click.option("--eager", is_flag=True, help="Draw with the eager model of the first bundle too, as the reference.")
@click.option("--checkpoint", type=FILE, help="Weights of --eager, for a bundle that was exported from a checkpoint.")
@click.option("--seed", type=click.IntRange(0, SEED_LIMIT - 1), default=0, show_default=True, help="Noise seed.")
@click.option("--steps", type=click.IntRange(1, MAX_STEPS), help="Denoising steps; default: the first bundle's.")
@click.option("--guidance", type=float, help=f"0 to {MAX_GUIDANCE:g}, 1 is none; default: the first bundle's.")
@click.option("--resolution", type=click.IntRange(min=1), help="Side in px; default: the first bundle's first.")
@click.option("--threads", type=click.IntRange(0, MAX_THREADS), default=0, help="0, the default: each engine's own.")
@click.option("--sheet", type=FILE, help="PNG to write too: rows are prompts, columns are bundles.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@version_option("lira-compare")
def command(
    bundles: tuple[Path, ...],
    prompts: tuple[str, ...],
    html: Path,
    eager: bool,
    checkpoint: Path | None,
    seed: int,
    steps: int | None,
    guidance: float | None,
    resolution: int | None,
    threads: int,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Draw every prompt with every BUNDLE, from the same noise, and write a page that shows them side by side.

    The reference is the eager model with --eager, else the first BUNDLE.
    """
    check_outputs((html, sheet), bundles)
    if sheet is not None:
        check_png_name(sheet)
    from lira_export.compare.columns import open_columns, remarks
    from lira_export.compare.draw import Asked

    columns = open_columns(bundles, eager, checkpoint)
    first = columns[-len(bundles)].bundle
    side, defaults = first.resolution(resolution), first.manifest.sampler
    asked = Asked(
        prompts=prompts,
        seed=seed,
        steps=defaults.steps if steps is None else steps,
        guidance=defaults.guidance if guidance is None else guidance,
        method=defaults.method,
        shift=defaults.shift,
        resolution=side,
        threads=threads,
    )
    _check(columns, asked)
    # torch and matplotlib come with these: a typing error must not wait for them, and the drawings must not be in vain.
    from lira_export.compare.figures import Compared, figures_of, table
    from lira_export.compare.page import page

    measured = _draw(columns, asked, as_json)
    figures = [figures_of(each, measured[0]) for each in measured]
    notes = remarks(columns)
    text = page(asked, figures, measured, notes)
    with atomic_write(html) as part:
        part.write_text(text, encoding="utf-8")
    if sheet is not None:
        _write_sheet(sheet, asked, figures, measured)
    if as_json:
        emit(
            Compared(file=str(html), asked=asked, reference=figures[0].name, columns=tuple(figures), notes=tuple(notes))
        )
    else:
        say([*table(figures), *notes, f"wrote {html}"])


def _check(columns: Sequence["Column"], asked: "Asked") -> None:
    """Raise BadInput for whatever a column could not draw, before the first one draws."""
    from lira_export.compare.columns import engine_of

    for column in columns:
        bundle = column.bundle
        pipeline = Pipeline(bundle, engine_of(bundle.manifest.target, asked.threads), asked.resolution)
        for prompt in asked.prompts:
            pipeline.generate(asked.request(prompt))  # checked at once; nothing is loaded until it is iterated


def _draw(columns: Sequence["Column"], asked: "Asked", as_json: bool) -> list["Measured"]:
    from lira_export.compare.measure import draw_apart

    measured = []
    with Progress(len(columns) * len(asked.prompts) * asked.steps, "drawing", json=as_json) as progress:
        for column in columns:
            measured.append(draw_apart(column, asked, partial(progress.advance, note=column.name)))
    return measured


def _write_sheet(path: Path, asked: "Asked", figures: Sequence["Figures"], measured: Sequence["Measured"]) -> None:
    from lira.data.sheet import contact_sheet
    from lira_export.compare.figures import decibels

    pictures, captions = [], []
    for row, prompt in enumerate(asked.prompts):
        for index, (found, figure) in enumerate(zip(measured, figures, strict=True)):
            decibel = f"{figure.name}: {decibels(figure.drawn[row].picture_db, ' dB')}"
            pictures.append(found.drawings[row].image)
            captions.append(f"{figure.name}: {prompt}" if index == 0 else decibel)
    sheet = contact_sheet(pictures, captions, len(measured), SHEET_SIDE)
    with atomic_write(path) as part:
        sheet.save(part, format="PNG", optimize=True)


main = cli_guard(command)

if __name__ == "__main__":
    sys.exit(main())

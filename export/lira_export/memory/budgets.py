"""Bundles against the committed budgets: `python -m lira_export.memory.budgets BUNDLE... [--budgets budgets.toml]`.

The file names a budget for each preset, target, latent kind and resolution in px:

    [small.onnx.f32c32]
    1024 = "350MB"

Every bundle's whole pipeline is run in a fresh process, loaded as its manifest says; exit code 3 where one is over.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import click

from lira_export.memory.held import measured_peak
from lira_runtime import events
from lira_runtime.backends.limits import check_engine
from lira_runtime.bundle import Bundle
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, OverBudget, cli_guard
from lira_runtime.manifest import Manifest, TargetName
from lira_runtime.memory.budget import megabytes, parse_bytes
from lira_runtime.progress import Progress

USUAL_FILE = Path("budgets.toml")
LEVELS = "preset", "target", "latent kind", "resolution in px"
"""Of the tables in the file, the last the keys of the budgets."""
HEAD = ("bundle", "px", "weights", "budget", "measured", "change")


@dataclass(frozen=True)
class Line:
    """One bundle at one resolution (px); budget and measured peak in bytes."""

    bundle: str
    resolution: int
    weights: str
    budget: int
    measured: int

    @property
    def change(self) -> int:
        """Measured peak over the budget, in bytes; negative where it is below."""
        return self.measured - self.budget


class Budgeted(events.Result, frozen=True, kw_only=True, tag="result"):
    """Every bundle at every resolution that has a budget."""

    command: Literal["budgets"] = "budgets"
    lines: tuple[Line, ...]


def read_budgets(path: Path) -> dict[str, int]:
    """Budgets in bytes by "preset.target.latent.px". Raises BadInput for a file that is missing or cannot be read."""
    if not path.is_file():
        raise BadInput(f"there is no file of budgets at {path}.")
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}.") from error
    return {place: _amount(path, place, value) for place, value in _placed(path, (), table)}


def _placed(path: Path, above: tuple[str, ...], table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Every value with its place. Raises BadInput for one that no bundle can have, so that nothing would measure it."""
    level = LEVELS[len(above)]
    for key, value in table.items():
        place = (*above, key)
        known = key in get_args(TargetName) if level == "target" else "." not in key
        if level == LEVELS[-1]:
            known = key.isdecimal() and key == str(int(key))
        if not known or isinstance(value, dict) != (level != LEVELS[-1]):
            raise BadInput(f"{path}: {'.'.join(place)} is not {', '.join(LEVELS)}.")
        if isinstance(value, dict):
            yield from _placed(path, place, value)
        else:
            yield ".".join(place), value


def _amount(path: Path, place: str, value: object) -> int:
    if not isinstance(value, str):
        raise BadInput(f'{path}: the budget {place} must be an amount in quotes, such as "350MB".')
    try:
        return parse_bytes(value)
    except BadInput as error:
        raise BadInput(f"{path}: the budget {place}: {error}") from error


def budgets_of(manifest: Manifest, budgets: dict[str, int]) -> dict[int, int]:
    """Bytes by resolution (px), of those of the bundle's that have a budget. Raises BadInput where none has."""
    place = f"{manifest.preset}.{manifest.target}.{manifest.latent.name}"
    found = {side: budgets[f"{place}.{side}"] for side in manifest.resolutions if f"{place}.{side}" in budgets}
    if not found:
        sides = " or ".join(map(str, manifest.resolutions))
        raise BadInput(f"there is no budget for {place} at {sides} px; add one under [{place}].")
    return found


def measure(folders: Sequence[Path], budgets: dict[str, int], progress: Progress) -> list[Line]:
    """Measure every bundle at every resolution that has a budget. Raises BadInput before, where one cannot be run."""
    wanted = [
        (folder, manifest, side, budget)
        for folder in folders
        for manifest in [_runnable(folder)]
        for side, budget in budgets_of(manifest, budgets).items()
    ]
    progress.total = len(wanted)
    lines = []
    for folder, manifest, side, budget in wanted:
        lines.append(Line(str(folder), side, manifest.weights, budget, measured_peak(folder, side)))
        progress.advance(note=f"{folder} {side} px")
    return lines


def _runnable(folder: Path) -> Manifest:
    """The manifest of a whole bundle that an engine here can run, loaded as it says. Raises BadInput for another."""
    bundle = Bundle.open(folder)
    check_engine(bundle.manifest.target, bundle.manifest.weights)
    bundle.require_whole()
    return bundle.manifest


def report(lines: Sequence[Line]) -> list[str]:
    """A table: every line's budget, peak and change."""
    rows = [HEAD]
    for line in lines:
        change = f"{'+' if line.change > 0 else '-'}{megabytes(abs(line.change))} ({line.change / line.budget:+.1%})"
        sizes = (megabytes(line.budget), megabytes(line.measured), change)
        rows.append((line.bundle, str(line.resolution), line.weights, *sizes))
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


@click.command(epilog=EXIT_CODES_HELP)
@click.argument("folders", metavar="BUNDLE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--budgets", "path", type=click.Path(path_type=Path), default=USUAL_FILE, show_default=True)
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
def command(folders: tuple[Path, ...], path: Path, as_json: bool) -> None:
    """Measure each BUNDLE and compare it with its budget."""
    budgets = read_budgets(path)
    with Progress(0, "memory", json=as_json) as progress:
        lines = measure(folders, budgets, progress)
    if as_json:
        events.emit(Budgeted(lines=tuple(lines)))
    else:
        click.echo("\n".join(report(lines)))
    over = [line for line in lines if line.change > 0]
    if over:
        worst = max(over, key=lambda line: line.change)
        raise OverBudget(
            f"{worst.bundle} takes {megabytes(worst.measured)} at {worst.resolution} px, {megabytes(worst.change)} "
            f"over its budget of {megabytes(worst.budget)}."
        )


main = cli_guard(command)

if __name__ == "__main__":
    sys.exit(main())

"""`lira-profile`: memory of a bundle by stage, against a budget."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click
from msgspec import Struct

from lira_runtime import events
from lira_runtime.backends.limits import MAX_THREADS, check_engine
from lira_runtime.bundle import Bundle
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_bundle
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, OverBudget, cli_guard
from lira_runtime.files import atomic_write, check_outputs, check_png_name
from lira_runtime.manifest import WEIGHTS_MODES, WeightsMode
from lira_runtime.memory import describe
from lira_runtime.memory.budget import parse_bytes
from lira_runtime.memory.parts import StageParts
from lira_runtime.memory.profile import Asked, Profile, processes, profile
from lira_runtime.memory.remedy import over_budget
from lira_runtime.memory.watch import Phase
from lira_runtime.progress import Progress
from lira_runtime.sampler import MAX_STEPS
from lira_runtime.say import say
from lira_runtime.trust.opening import NO_VERIFY_HELP, open_to_run


class Process(Struct, frozen=True):
    """Bytes of one process: its peak resident size, the greatest anonymous part and resident size that were seen.

    maxrss_bytes: as the kernel says it of the ended process, null where that cannot be told.
    """

    peak_bytes: int
    peak_anonymous_bytes: int
    peak_sampled_bytes: int
    maxrss_bytes: int | None
    phases: tuple[Phase, ...]


class Profiled(events.Result, frozen=True, kw_only=True, tag="result"):
    """Memory of a bundle. processes: the whole pipeline's and each stage's; parts, predicted_bytes: by stage."""

    command: Literal["lira-profile"] = "lira-profile"
    bundle: str
    digest: str
    asked: Asked
    peak_bytes: int
    budget_bytes: int | None
    processes: dict[str, Process]
    parts: dict[str, StageParts]
    predicted_bytes: dict[str, int | None]
    machine: dict[str, str]


@cli_guard
@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path), shell_complete=complete_bundle)
@click.option("--budget", metavar="AMOUNT", help="Fail with exit code 3 above this peak: 350MB, 1GB, 300MiB.")
@click.option("--resolution", type=click.IntRange(min=1), help="Side in px; default: the first that the bundle has.")
@click.option(
    "--threads", type=click.IntRange(0, MAX_THREADS), default=0, help="0, the default: one a big core, at most 8."
)
@click.option("--weights", type=click.Choice(WEIGHTS_MODES), help="How they are loaded; default: the bundle's.")
@click.option("--keep-loaded", is_flag=True, help="Keep every component in memory until the pipeline's end.")
@click.option("--prompt", default="a red apple", show_default=True, help="What the whole pipeline draws.")
@click.option(
    "--steps",
    type=click.IntRange(1, MAX_STEPS),
    default=2,
    show_default=True,
    help="Denoising steps; more take time, not memory.",
)
@click.option("--html", type=click.Path(path_type=Path), help="Report to write, one self-contained file.")
@click.option("--png", type=click.Path(path_type=Path), help="Picture of the timeline to write; needs matplotlib.")
@click.option("--no-verify", is_flag=True, help=NO_VERIFY_HELP)
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
@version_option("lira-profile")
def main(
    bundle_path: Path,
    budget: str | None,
    resolution: int | None,
    threads: int,
    weights: WeightsMode | None,
    keep_loaded: bool,
    prompt: str,
    steps: int,
    html: Path | None,
    png: Path | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Measure the memory of the bundle in the directory BUNDLE: the whole pipeline, then each stage by itself."""
    budget_bytes = None if budget is None else parse_bytes(budget)
    _check_reports(bundle_path, html, png)
    bundle = _open(bundle_path, no_verify, as_json)
    side, weights = bundle.resolution(resolution), weights or bundle.manifest.weights
    check_engine(bundle.manifest.target, weights)
    asked = Asked(prompt, side, threads, steps, weights, keep_loaded, not no_verify)
    with Progress(len(processes(bundle)), "profiling", json=as_json) as progress:
        measured = profile(bundle, asked, progress)
    _write_reports(measured, budget_bytes, html, png)
    if as_json:
        events.emit(_result(measured, budget_bytes))
    else:
        say(_lines(measured, budget_bytes, html, png))
    if budget_bytes is not None and measured.peak > budget_bytes:
        sys.stdout.flush()
        with Progress(0, "what would fit", json=as_json) as progress:
            raise OverBudget(over_budget(measured, budget_bytes, progress))


def _check_reports(bundle: Path, html: Path | None, png: Path | None) -> None:
    check_outputs((html, png), (bundle,))
    if png is not None:
        check_png_name(png)
    if png is not None and importlib.util.find_spec("matplotlib") is None:
        raise BadInput("--png needs matplotlib, which is not installed: pip install matplotlib.")


def _open(path: Path, no_verify: bool, as_json: bool) -> Bundle:
    bundle = open_to_run(path, no_verify, as_json)
    if bundle.manifest.target == "coreml":
        raise BadInput(
            f"{path} is a Core ML bundle, which an app on Apple's systems runs: its memory cannot be measured here."
        )
    return bundle


def _write_reports(measured: Profile, budget: int | None, html: Path | None, png: Path | None) -> None:
    if html is not None:
        from lira_runtime.memory.page import page

        with atomic_write(html) as part:
            part.write_text(page(measured, budget, ["lira-profile", *sys.argv[1:]]), encoding="utf-8")
    if png is not None:
        from lira_runtime.memory.plot import write_plot

        with atomic_write(png) as part:
            write_plot(measured, budget, part)


def _lines(measured: Profile, budget: int | None, html: Path | None, png: Path | None) -> list[str]:
    return [
        describe.settings_line(measured),
        "",
        *_table(describe.PHASE_HEAD, describe.phase_rows(measured)),
        "",
        *_table(describe.PART_HEAD, describe.part_rows(measured)),
        "",
        *_claims(describe.claim_rows(measured)),
        describe.PHASE_NOTE,
        f"Parts: {describe.PART_NOTE}",
        *describe.remarks(measured),
        *(f"{system}: {said}" for system, said in describe.KILLS),
        *([] if budget is None else [describe.verdict(measured, budget)]),
        *(f"wrote {goal}" for goal in (html, png) if goal is not None),
    ]


def _claims(rows: Sequence[Sequence[str]]) -> list[str]:
    return [*_table(describe.CLAIM_HEAD, rows), "", describe.CLAIM_NOTE] if rows else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of numbers to the right, names to the left; a process is named once."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines, before = [], ""
    for row in [head, *rows]:
        cells = ["" if row[0] == before else row[0], *row[1:]]
        before = row[0]
        aligned = [
            cell.rjust(width) if _is_figure(rows, column) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip())
    return lines


def _is_figure(rows: Sequence[Sequence[str]], column: int) -> bool:
    return rows[0][column][-1].isdigit() or rows[0][column] == "-"


def _result(measured: Profile, budget: int | None) -> Profiled:
    return Profiled(
        bundle=str(measured.bundle.path),
        digest=measured.bundle.digest,
        asked=measured.asked,
        peak_bytes=measured.peak,
        budget_bytes=budget,
        processes={
            watched.name: Process(
                watched.peak, watched.peak_anonymous, watched.peak_sampled, watched.maxrss, watched.phases
            )
            for watched in measured.watched
        },
        parts={stage.name: StageParts.of(stage) for stage in measured.stages},
        predicted_bytes={stage.name: measured.predicted(stage.name) for stage in measured.stages},
        machine=describe.machine(),
    )


if __name__ == "__main__":
    main()

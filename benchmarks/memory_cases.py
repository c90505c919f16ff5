"""Is the peak that `lira-export --dry-run` predicts the one that a process takes? Every case of a grid, none left out.

`python benchmarks/memory_cases.py [--target onnx] [--preset tiny ...]`: each bundle is made, its whole pipeline is run
in a fresh process, and it is deleted. What was measured is appended to build/memory-cases.jsonl at once, so a run that
was interrupted goes on where it stopped. `--report` measures nothing and shows what is there. Hours for the whole grid.
"""

import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

import click

from case import BUILD
from lira.latents import latent_kind
from lira_export.components import build_components
from lira_export.memory.network import Network
from lira_export.memory.predict import Load, predict_pipeline
from lira_export.memory.shapes import shape_models
from lira_export.recipes import get_recipe
from lira_runtime.errors import cli_guard
from lira_runtime.manifest import TargetName, WeightsMode
from lira_runtime.progress import Progress
from memory_measure import Case, PipelineResult, measure_cases, read_results
from report import Row, show_rows

RESULTS = BUILD / "memory-cases.jsonl"
PRESETS, LATENTS, SIDES = ("tiny", "small", "base", "large"), ("f32c32", "f8c16"), (256, 512, 1024)
RECIPES = ("int8", "fp16", "fp32")


def grid(
    target: TargetName, presets: Sequence[str], latents: Sequence[str], sides: Sequence[int], weights: WeightsMode
) -> list[Case]:
    """Every case of the product, those of one trace together."""
    return [Case(target, *each, weights) for each in itertools.product(presets, latents, sides, RECIPES)]


def rows_of(runs: Sequence[PipelineResult]) -> list[Row]:
    """Measured and predicted peak in MB, and which stage takes it."""
    rows = []
    for key, group in itertools.groupby(runs, lambda run: (run.case.preset, run.case.latent, run.case.resolution)):
        preset, latent, side = key
        models = shape_models(preset, latent_kind(latent), "vit-l-14", side)
        networks = [Network.of(component, side) for component in build_components(models, side)]
        for run in group:
            case = run.case
            load = Load(case.target, get_recipe(case.recipe, case.target), case.weights)
            predicted = predict_pipeline(networks, load)
            rows.append(
                {
                    "preset": preset,
                    "latent": latent,
                    "px": side,
                    "recipe": case.recipe,
                    "weights": case.weights,
                    "predicted MB": predicted.peak / 1e6,
                    "measured MB": run.peak / 1e6,
                    "error %": 100 * (predicted.peak / run.peak - 1),
                    "stage": predicted.stage,
                    "measured stage": max(run.phases, key=lambda name: run.phases[name]),
                }
            )
    return rows


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Median and worst error, without sign."""
    errors = [abs(row["error %"]) for row in rows]
    return {"cases": len(rows), "median error %": statistics.median(errors), "worst error %": max(errors)}


@click.command()
@click.option("--target", type=click.Choice(["onnx", "tflite"]), default="onnx", show_default=True)
@click.option("--preset", "presets", multiple=True, default=PRESETS, show_default=True, help="Repeatable.")
@click.option("--latent", "latents", multiple=True, default=LATENTS, show_default=True, help="Repeatable.")
@click.option("--px", "sides", type=int, multiple=True, default=SIDES, show_default=True, help="Repeatable.")
@click.option("--weights", type=click.Choice(["packed", "mapped", "streamed"]), default="packed", show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--report", is_flag=True, help="Measure nothing; show what was measured beside the prediction.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(
    target: TargetName,
    presets: tuple[str, ...],
    latents: tuple[str, ...],
    sides: tuple[int, ...],
    weights: WeightsMode,
    results: Path,
    report: bool,
    as_json: bool,
) -> None:
    """Predicted and measured peak of every case."""
    cases = grid(target, presets, latents, sides, weights)
    if not report:
        with Progress(len(cases), "memory", json=as_json) as progress:
            measure_cases(PipelineResult, cases, results, progress)
    found = {run.case: run for run in read_results(PipelineResult, results)}
    rows = rows_of([found[case] for case in cases if case in found])
    show_rows(f"peak resident memory, {target}: {len(rows)} of {len(cases)} cases", rows, summary(rows), as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

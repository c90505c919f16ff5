"""Claimed, predicted, measured: what the first design said of its memory, row by row, at 1024 px.

`python benchmarks/memory_claims.py [--target tflite]` makes bundles of tiny, small (both latents), base and large,
and runs each pipeline in fresh processes: in float16 with every component kept loaded, which is how a pipeline is
usually run, then one component after the other, then in int8, then with int8 weights streamed where the engine can.
What was measured before is kept.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from case import BUILD
from lira.latents import latent_kind
from lira_export.components import build_components
from lira_export.memory.calibration import engine_of
from lira_export.memory.network import Network
from lira_export.memory.predict import Load, predict_pipeline
from lira_export.memory.shapes import shape_models
from lira_export.memory.weights import weights_of
from lira_export.recipes import get_recipe
from lira_runtime.errors import cli_guard
from lira_runtime.interface import DENOISER
from lira_runtime.manifest import TargetName, WeightsMode
from lira_runtime.memory.claims import HALF_WEIGHTS, PIPELINE_PX, PIPELINES, judged
from lira_runtime.progress import Progress
from memory_measure import USUAL_TEXT_ENCODER, Case, PipelineResult, measure_cases, read_results
from report import Row, show_rows

RESULTS = BUILD / "memory-claims.jsonl"
SUBJECTS = (("tiny", "f32c32"), ("small", "f32c32"), ("small", "f8c16"), ("base", "f32c32"), ("large", "f32c32"))
WAYS: tuple[tuple[str, WeightsMode, bool], ...] = (
    ("fp16", "packed", True),
    ("fp16", "packed", False),
    ("int8", "packed", True),
    ("int8", "packed", False),
    ("int8", "streamed", False),
)
"""Recipe, loading mode, whether components are kept loaded."""


def cases_of(target: TargetName, subjects: Sequence[tuple[str, str]]) -> list[Case]:
    """Every way of every subject that the target's engine can run, those of one trace together."""
    return [
        Case(target, preset, latent, PIPELINE_PX, recipe, weights, keep_loaded=kept)
        for preset, latent in subjects
        for recipe, weights, kept in WAYS
        if weights != "streamed" or engine_of(target).streamed
    ]


def rows_of(runs: Sequence[PipelineResult]) -> list[Row]:
    """The weights of one preset's denoiser, then its pipeline, way by way, all of one target; sizes in MB."""
    target, preset, latent = runs[0].case.target, runs[0].case.preset, runs[0].case.latent
    models = shape_models(preset, latent_kind(latent), USUAL_TEXT_ENCODER, PIPELINE_PX)
    networks = [Network.of(component, PIPELINE_PX) for component in build_components(models, PIPELINE_PX)]
    (denoiser,) = (network for network in networks if network.component.name == DENOISER)
    stored = sum(each.stored_bytes for each in weights_of(denoiser, get_recipe("fp16", target), target))
    half = next(run.files[DENOISER] for run in runs if run.case.recipe == "fp16")
    subject = {"preset": preset, "latent": latent}
    rows = [subject | _figures("denoiser's weights, fp16", HALF_WEIGHTS[preset], stored, half)]
    for run in runs:
        case = run.case
        kept = "all kept loaded" if case.keep_loaded else f"in turn, {case.weights}"
        predicted = None
        if not case.keep_loaded:
            load = Load(target, get_recipe(case.recipe, target), case.weights)
            predicted = predict_pipeline(networks, load).peak
        claimed = PIPELINES.get((preset, latent))
        rows.append(subject | _figures(f"pipeline, {case.recipe}, {kept}", claimed, predicted, run.peak))
    return rows


def _figures(what: str, claimed: int | None, predicted: int | None, measured: int) -> Row:
    return {
        "what": what,
        "claimed": None if claimed is None else claimed / 1e6,
        "predicted": None if predicted is None else predicted / 1e6,
        "measured": measured / 1e6,
        "the claim is": None if claimed is None else judged(claimed, measured),
    }


@click.command()
@click.option("--target", type=click.Choice(["onnx", "tflite"]), default="onnx", show_default=True)
@click.option("--preset", "presets", multiple=True, help="Repeatable; default: all.")
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
def command(target: TargetName, presets: tuple[str, ...], results: Path, as_json: bool) -> None:
    """Claimed, predicted and measured memory."""
    subjects = [subject for subject in SUBJECTS if not presets or subject[0] in presets]
    cases = cases_of(target, subjects)
    with Progress(len(cases), "claims", json=as_json) as progress:
        measure_cases(PipelineResult, cases, results, progress)
    found = {run.case: run for run in read_results(PipelineResult, results)}
    rows = [row for subject in subjects for row in rows_of([found[case] for case in cases_of(target, [subject])])]
    show_rows(f"claimed, predicted, measured: MB, {PIPELINE_PX} px, {target}", rows, {}, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

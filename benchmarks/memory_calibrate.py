"""Measure what each engine takes by itself, and write export/lira_export/memory/calibration.toml.

`python benchmarks/memory_calibrate.py`: a few small bundles, each stage alone in a fresh process, then least squares.
None of them is a case of `memory_cases.py`, whose grid has neither nano nor 768 px; their text encoder is ViT-B/32.
"""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import msgspec
import numpy as np

from case import BUILD
from lira.latents import latent_kind
from lira_export.components import build_components
from lira_export.memory import calibration
from lira_export.memory.calibration import CONVOLUTIONS, Engine, Streamed, read_engines
from lira_export.memory.network import Network, workspace
from lira_export.memory.shapes import shape_models
from lira_export.memory.weights import weights_of
from lira_export.recipes import get_recipe
from lira_runtime.errors import cli_guard
from lira_runtime.files import atomic_write
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import TargetName, WeightsMode
from lira_runtime.memory.child import START
from lira_runtime.progress import Progress
from memory_measure import Case, PipelineResult, StageResult, measure_cases, read_results

GOAL = Path(calibration.__file__).with_name(calibration.FILE)
SHAPES = (("nano", "f32c32", 256), ("nano", "f8c4", 512), ("nano", "f8c16", 768), ("tiny", "f32c32", 768))
TEXT_ENCODER = "vit-b-32"
RECIPES = ("int8", "fp16", "fp32")
PACKS_AT_LOAD: Mapping[TargetName, bool] = {"onnx": True, "tflite": False}
"""LiteRT packs its weights in the first run."""
WORTH_A_LOOK, MANY_WEIGHTS = 4 << 20, 30 << 20
"""Bytes in float16 that show in what a process takes; bytes of weights that streaming cannot hold all at once."""
SAME_ARITHMETIC: Mapping[str, str] = {"fp16": "fp32", "int8-dynamic": "int8", "int4": "int8"}
"""Recipes whose runs take, for each byte planned, what those of another take."""


@dataclass(frozen=True)
class Point:
    """One measured stage beside what is known of it without measuring; sizes in bytes.

    held and tables: weights in memory, and pages of the token table. halves: weights stored as float16.
    """

    recipe: str
    weights: WeightsMode
    has_products: bool
    run: StageRun
    ops: int
    planned: int
    held: int
    tables: int
    halves: int
    largest: int

    @property
    def ratio(self) -> str:
        """The name of its workspace's coefficient."""
        return self.recipe if self.has_products else CONVOLUTIONS


def points_of(results: Sequence[StageResult]) -> list[Point]:
    """Every result with its network's figures."""
    points = []
    for key, group in itertools.groupby(
        results, lambda each: (each.case.preset, each.case.latent, each.case.resolution)
    ):
        preset, latent, side = key
        models = shape_models(preset, latent_kind(latent), TEXT_ENCODER, side)
        networks = {each.name: Network.of(each, side) for each in build_components(models, side)}
        points += [_point(result, networks[result.stage]) for result in group]
    return points


def _point(result: StageResult, network: Network) -> Point:
    case = result.case
    plan, recipe = workspace(network, case.target, case.recipe), get_recipe(case.recipe, case.target)
    weights = weights_of(network, recipe, case.target)
    return Point(
        recipe=case.recipe,
        weights=case.weights,
        has_products=network.has_products,
        run=result.run,
        ops=plan.ops,
        planned=plan.nbytes,
        held=sum(each.held_bytes for each in weights if not each.is_table),
        tables=sum(each.held_bytes for each in weights if each.is_table and each.stored == "float16"),
        halves=sum(each.stored_bytes for each in weights if each.stored == "float16"),
        largest=max(each.held_bytes for each in weights if not each.is_table),
    )


@dataclass(frozen=True)
class Known:
    """What the first coefficients say of a point, in bytes."""

    library: int
    session: float
    op: float
    workspaces: Mapping[str, float]

    def records(self, point: Point) -> float:
        """The process with the engine's code and its records of the graph."""
        return point.run.idle + self.library + self.session + self.op * point.ops

    def loaded(self, point: Point) -> float:
        """With all weights."""
        return self.records(point) + point.held + point.tables

    def running(self, point: Point) -> float:
        """With the workspace, too."""
        return self.loaded(point) + self.workspaces[point.ratio] * point.planned


def fit(points: Sequence[Point], pipeline: PipelineResult, packs_at_load: bool) -> Engine:
    """Coefficients from stages whose weights are packed, and from those where they are streamed."""
    packed = [point for point in points if point.weights == "packed"]
    known = _know([point for point in packed if point.recipe != "fp16"], packs_at_load)
    halved = [point for point in packed if point.recipe == "fp16" and point.halves > WORTH_A_LOOK]
    loading = [(point.run.load_peak - known.loaded(point) - point.largest) / point.halves for point in halved]
    left = [(point.run.run_peak - known.running(point)) / point.halves for point in halved]
    return Engine(
        start=pipeline.phases[START],
        process=pipeline.idle,
        library=known.library,
        kept=int(statistics.median(point.run.unloaded - point.run.idle for point in packed)),
        session=round(known.session),
        op=round(known.op, 1),
        workspace={name: round(factor, 4) for name, factor in sorted(known.workspaces.items())},
        loading=round(max(statistics.median(loading), 0), 4),
        left=round(max(statistics.median(left), 0), 4),
        streamed=_fit_streamed([point for point in points if point.weights == "streamed"], known),
    )


def _know(points: Sequence[Point], packs_at_load: bool) -> Known:
    """By least squares: the graph's records from what is loaded, then the workspace from the peaks of runs.

    Without float16, as what unpacking leaves behind would spoil them.
    """
    library = int(statistics.median(point.run.library for point in points))
    records = [point.run.loaded - point.run.idle - library - (point.held if packs_at_load else 0) for point in points]
    session, op = _least_squares([[1, point.ops] for point in points], records, [1] * len(points))
    known = Known(library, session, op, {})
    names = sorted({point.ratio for point in points})
    columns = [[point.planned * (point.ratio == name) for name in names] for point in points]
    peaks = [point.run.run_peak for point in points]
    above = [point.run.run_peak - known.loaded(point) for point in points]
    workspaces = dict(zip(names, _least_squares(columns, above, peaks), strict=True))
    workspaces |= {name: workspaces[other] for name, other in SAME_ARITHMETIC.items() if other in workspaces}
    return replace(known, workspaces=workspaces)


def _fit_streamed(points: Sequence[Point], known: Known) -> Streamed | None:
    """Code that is let go of shows where there are hardly any weights, the window where there are many."""
    if not points:
        return None
    light = [point for point in points if not point.has_products]
    heavy = [point for point in points if point.held > MANY_WEIGHTS]
    code = statistics.median(known.running(point) - point.run.run_peak for point in light)
    window = statistics.median(point.run.run_peak + code - known.running(point) + point.held for point in heavy)
    loads = [point.run.load_peak - known.records(point) for point in heavy]
    loading, share = _least_squares([[1, point.held] for point in heavy], loads, [1] * len(heavy))
    return Streamed(window=round(window), loading=round(loading), loading_share=round(share, 4), code=round(code))


def _least_squares(columns: Sequence[Sequence[float]], goals: Sequence[float], scales: Sequence[float]) -> list[float]:
    """Factors of the columns whose sums come nearest to the goals, each error divided by its scale."""
    weights = 1 / np.array(scales, float)
    solution, *_ = np.linalg.lstsq(np.array(columns, float) * weights[:, None], np.array(goals) * weights, rcond=None)
    return [float(factor) for factor in solution]


def write(engines: Mapping[str, Engine], goal: Path) -> None:
    """The file of coefficients, whole or not at all."""
    head = "# Written by benchmarks/memory_calibrate.py; what each name means is said in calibration.py.\n"
    tables = []
    for target, engine in engines.items():
        fields = msgspec.to_builtins(engine)
        nested = {name: fields.pop(name) for name in ("workspace", "streamed")}
        tables.append(_table(target, fields))
        tables += [_table(f"{target}.{name}", values) for name, values in nested.items() if values is not None]
    with atomic_write(goal) as part:
        part.write_text("\n".join([head, *tables]))


def _table(name: str, values: Mapping[str, float]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]) + "\n"


def cases_of(target: TargetName) -> list[Case]:
    """What is measured: packed weights by every recipe, and streamed ones where the engine can stream."""
    modes: list[tuple[WeightsMode, str]] = [("packed", recipe) for recipe in RECIPES]
    if target == "onnx":
        modes += [("streamed", recipe) for recipe in RECIPES if recipe != "fp16"]
    return [Case(target, *shape, recipe, mode, TEXT_ENCODER) for shape in SHAPES for mode, recipe in modes]


@click.command()
@click.option("--target", "targets", type=click.Choice(["onnx", "tflite"]), multiple=True, default=("onnx", "tflite"))
@click.option(
    "--folder", type=click.Path(path_type=Path), default=BUILD, show_default=True, help="Of what is measured."
)
@click.option("--out", type=click.Path(path_type=Path), default=GOAL, show_default=True)
def command(targets: tuple[TargetName, ...], folder: Path, out: Path) -> None:
    """Calibrate. Stages that FOLDER/memory-stages.jsonl holds from before are not measured again.

    Coefficients of a target that is not named stay as they are in the file.
    """
    found = read_engines(out.read_text()) if out.exists() else {}
    for target in targets:
        cases = cases_of(target)
        stages, pipelines = folder / "memory-stages.jsonl", folder / "memory-idle.jsonl"
        with Progress(len(cases), f"calibrating {target}") as progress:
            measure_cases(StageResult, cases, stages, progress)
        with Progress(1, f"idle process of {target}") as progress:
            measure_cases(PipelineResult, cases[:1], pipelines, progress)
        pipeline = next(run for run in read_results(PipelineResult, pipelines) if run.case == cases[0])
        runs = [run for run in read_results(StageResult, stages) if run.case in cases]
        found[target] = fit(points_of(runs), pipeline, PACKS_AT_LOAD[target])
    write(found, out)


main = cli_guard(command)

if __name__ == "__main__":
    main()

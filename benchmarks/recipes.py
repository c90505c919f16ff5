"""What does each choice of the int8 recipe cost in time and in closeness to the eager model?

`python benchmarks/recipes.py`: the denoiser in float32, in both int8 recipes, and in int8 with one group of modules at
a time kept in float, or with none; ms a step (all variants take turns), the worst and the median PSNR against eager
float32 over the steps of drawings that calibration does not make, and MB on disk.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
import onnx_ir as ir
import torch

from case import BUILD, runner
from lira.sources import Models, Request, load_models
from lira_export.calibration import hidden_ranges
from lira_export.components import build_components
from lira_export.onnx.convert import to_onnx
from lira_export.onnx.half import store_half
from lira_export.onnx.quantize import quantize
from lira_export.parity import Sample, psnr_db
from lira_export.recipes import Recipe, get_recipe
from lira_export.trajectory import trajectory
from lira_runtime.backends.session import SessionSettings, open_session
from lira_runtime.errors import cli_guard
from lira_runtime.events import JSON_HELP
from report import Row, show_rows
from timing import interleaved

GRAPH = "denoiser.onnx"
PROMPTS = ("a penguin on a purple background", "a small blue car right of a tree on a white background")


def variants() -> Iterator[tuple[str, Recipe]]:
    """Name and recipe of everything that is compared."""
    int8 = get_recipe("int8", "onnx")
    kept = int8.keep_float["denoiser"]
    yield "fp32", get_recipe("fp32", "onnx")
    yield "int8-dynamic", get_recipe("int8-dynamic", "onnx")
    yield "int8", int8
    for name, patterns in {
        "B, C, dt and A": ("*.scan.maps", "*.scan.rates"),
        "fusion": ("*.fusion.*",),
        "AdaLN": ("*.modulation",),
        "scan's output": ("*.scan.out_proj",),
    }.items():
        yield f"int8, {name} float", replace(int8, keep_float={"denoiser": (*kept, *patterns)})
    yield "int8, nothing float", replace(int8, keep_float={})


def measure(models: Models, folder: Path, threads: int, rounds: int, steps: int) -> list[Row]:
    """One row for each variant; the graphs are written below `folder`, which is removed at the end."""
    folder.mkdir(parents=True)
    try:
        component = build_components(models, models.resolution, ("denoiser",))[0]
        plain = folder / GRAPH
        ir.save(to_onnx(component), plain, external_data=f"{GRAPH}.data")
        ranges = hidden_ranges(models)
        drawings = (trajectory(models, p, seed, steps, models.resolution) for seed, p in enumerate(PROMPTS))
        samples = [sample for drawing in drawings for sample in drawing]
        graphs = {}
        for index, (name, recipe) in enumerate(variants()):
            model = quantize(ir.load(plain), "denoiser", recipe, ranges if recipe.calibrated else None)
            graphs[name] = folder / str(index) / GRAPH
            graphs[name].parent.mkdir()
            ir.save(store_half(model) if recipe.quantizes else model, graphs[name], external_data=f"{GRAPH}.data")
        times = interleaved({name: runner(graph, threads) for name, graph in graphs.items()}, rounds)
        return [_row(name, graph, times[name], samples, threads) for name, graph in graphs.items()]
    finally:
        shutil.rmtree(folder)


def _row(name: str, graph: Path, ms: float, samples: list[Sample], threads: int) -> Row:
    session = open_session(graph, SessionSettings(threads=threads))
    decibels = [psnr_db(session.run(["velocity"], each.inputs)[0], each.reference) for each in samples]
    size = sum(path.stat().st_size for path in graph.parent.iterdir() if path.is_file()) / 1e6
    return {"recipe": name, "ms": ms, "worst dB": min(decibels), "median dB": median(decibels), "MB": size}


@click.command()
@click.option("--config", default="small", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), default=5, show_default=True, help="Of each trajectory.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(config: str, threads: int, rounds: int, steps: int, as_json: bool) -> None:
    """Time and closeness of the recipe's choices."""
    torch.set_num_threads(threads)
    models = load_models(Request(config))
    rows = measure(models, BUILD / f"recipes-{config}", threads, rounds, steps)
    show_rows(f"recipes: {config}, {models.resolution} px, {threads} threads", rows, {}, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

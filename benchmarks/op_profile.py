"""Where does a graph's time go, by operator?

`python benchmarks/op_profile.py [GRAPH.onnx or BUNDLE] [--component denoiser] [--plot docs/profile.png]`: onnxruntime's
own profile of the graph that it really runs, after its fusions. ms and count are of one run, medians over runs; the
profiler itself slows a step a little. Not named profile.py: that would hide Python's module of this name.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import onnxruntime as ort

from case import BUILD
from fresh import random_feed
from lira_runtime.backends.session import SessionSettings, session_options
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.events import JSON_HELP
from lira_runtime.interface import COMPONENTS
from report import Row, figure, show_rows
from timing import ceilings, interleaved, rates

INTEGER_GEMMS = frozenset(
    {"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm", "MatMulNBits"}
)
FLOAT_GEMMS = frozenset({"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "TransposeMatMul"})
KERNEL_TIME = "_kernel_time"


def profile(graph: Path, threads: int, runs: int) -> list[dict[str, list[float]]]:
    """For every run but a first one to warm up: operator -> microseconds of each of its nodes."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(SessionSettings(threads=threads))
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "run")
        session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        feed = random_feed(session.get_inputs())
        for _ in range(runs + 1):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    return _by_run(events)[1:]


def table(runs: Sequence[dict[str, list[float]]]) -> list[Row]:
    """Rows by falling ms: operator, nodes of it in a run, median ms of a run, share in percent."""
    ops = {op for run in runs for op in run}
    ms = {op: median(sum(run.get(op, ())) for run in runs) / 1e3 for op in ops}
    total = sum(ms.values())
    return [
        {"operator": op, "count": len(runs[0].get(op, ())), "ms": ms[op], "share %": 100 * ms[op] / total}
        for op in sorted(ops, key=lambda each: -ms[each])
    ]


def totals(rows: Sequence[Row]) -> dict[str, float]:
    """ms of everything, and the share of the matrix products in percent."""
    total = sum(row["ms"] for row in rows)
    integer = sum(row["ms"] for row in rows if row["operator"] in INTEGER_GEMMS)
    floating = sum(row["ms"] for row in rows if row["operator"] in FLOAT_GEMMS)
    return {
        "all operators ms": total,
        "integer GEMMs ms": integer,
        "float GEMMs ms": floating,
        "integer GEMMs %": 100 * integer / total,
        "all GEMMs %": 100 * (integer + floating) / total,
    }


def draw(rows: Sequence[Row], title: str, goal: Path, most: int = 14) -> None:
    """Bars of the `most` heaviest operators, matrix products in another colour."""
    top = list(reversed(rows[:most]))
    gemms = INTEGER_GEMMS | FLOAT_GEMMS
    with figure(goal) as (axes,):
        colours = ["tab:blue" if row["operator"] in gemms else "tab:orange" for row in top]
        axes.barh([f"{row['operator']} x{row['count']}" for row in top], [row["ms"] for row in top], color=colours)
        axes.set_xlabel("ms a run (blue: matrix products)")
        axes.figure.suptitle(title, fontsize="medium")


def _by_run(events: Sequence[dict[str, Any]]) -> list[dict[str, list[float]]]:
    """Node times grouped by the run that they lie in; the profile lists a run after its nodes."""
    spans = [(event["ts"], event["ts"] + event["dur"]) for event in events if event["name"] == "model_run"]
    runs: list[dict[str, list[float]]] = [defaultdict(list) for _ in spans]
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith(KERNEL_TIME):
            run = next(run for run, (start, end) in zip(runs, spans, strict=True) if start <= event["ts"] <= end)
            run[event["args"]["op_name"]].append(event["dur"])
    return runs


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True), default=BUILD / "small-onnx")
@click.option("--component", type=click.Choice(COMPONENTS), default="denoiser", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the heaviest operators as a PNG.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(path: Path, component: str, threads: int, runs: int, plot: Path | None, as_json: bool) -> None:
    """Show where a run of PATH goes: an .onnx file, or a component of a bundle."""
    if path.is_file() and path.suffix != ".onnx":
        raise BadInput(f"{path} is neither a bundle nor an .onnx file.")
    graph = path / Bundle.open(path).graph(component).path if path.is_dir() else path
    rows = table(profile(graph, threads, runs))
    gemms = ceilings(threads)
    rate = rates(gemms, interleaved({name: gemm.run for name, gemm in gemms.items()}, 5))
    figures = totals(rows) | {f"{name} ceiling Gop/s": value for name, value in rate.items()}
    title = f"profile: {graph.parent.name}/{graph.name}, {threads} threads"
    show_rows(title, rows, figures, as_json)
    if plot is not None:
        draw(rows, title, plot)


main = cli_guard(command)

if __name__ == "__main__":
    main()

"""How long does the decoder take, and how much memory, beside TAESD's on a picture of the same size?

`python benchmarks/decoder.py`: every graph in fresh processes that hold NumPy and onnxruntime alone, in turn; median
time, and the high-water mark over what the process held before it loaded the graph. TAESD is shown as published,
float32, and in static int8; the ratios say against which.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch

import fresh
import peers
from case import Case, case_options, open_case
from lira_runtime.errors import cli_guard
from report import show_figures
from timing import ceilings, gflop, interleaved, rates

OURS, FP32, INT8 = "decoder", "TAESD fp32", "TAESD int8"


def measure(case: Case, rounds: int, repeats: int, taesd: Mapping[str, Any] = peers.TAESD) -> dict[str, float]:
    """Times in ms, memory in MB, GFLOP and ratios by name."""
    side = case.resolution // peers.TAESD_SCALE
    graphs = {
        OURS: case.graph("decoder"),
        FP32: peers.taesd_graph(side, taesd),
        INT8: peers.taesd_int8_graph(side, taesd),
    }
    seen: dict[str, list[fresh.Fresh]] = {name: [] for name in graphs}
    rate: dict[str, list[float]] = {}
    gemms = ceilings(case.threads)
    for _ in range(rounds):
        for name, graph in graphs.items():
            seen[name].append(fresh.measure(graph, case.threads, repeats))
        times = interleaved({name: gemm.run for name, gemm in gemms.items()}, 3)
        for name, value in rates(gemms, times).items():
            rate.setdefault(name, []).append(value)
    ms = {name: median(each.ms for each in found) for name, found in seen.items()}
    megabytes = {name: median(each.peak_bytes for each in found) / 1e6 for name, found in seen.items()}
    own = gflop(lambda: case.models.decoder(torch.zeros(case.latent_shape)))
    fp32_rate = median(rate["fp32 GEMM"])
    return {
        **{f"{name} ms": value for name, value in ms.items()},
        **{f"{name} MB over idle": value for name, value in megabytes.items()},
        "idle process MB": median(each.idle_bytes for each in seen[OURS]) / 1e6,
        "decoder GFLOP": own,
        "TAESD GFLOP": peers.taesd_gflop(side, taesd),
        "fp32 GEMM ceiling GFLOP/s": fp32_rate,
        "int8 GEMM ceiling Gop/s": median(rate["int8 GEMM"]),
        "decoder / its fp32 GEMM floor": ms[OURS] * fp32_rate / own / 1e3,
        "time, TAESD fp32 / decoder": ms[FP32] / ms[OURS],
        "time, TAESD int8 / decoder": ms[INT8] / ms[OURS],
        "memory, TAESD fp32 / decoder": megabytes[FP32] / megabytes[OURS],
        "memory, TAESD int8 / decoder": megabytes[INT8] / megabytes[OURS],
    }


@click.command()
@case_options
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Processes for each graph.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Runs in each process.")
def command(config: str, path: Path | None, threads: int, as_json: bool, rounds: int, repeats: int) -> None:
    """Time the decoder and its memory beside TAESD's."""
    case = open_case(config, path, threads)
    show_figures(f"decoder: {case.title}", measure(case, rounds, repeats), as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

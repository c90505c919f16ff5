"""How long does the text encoder take for one prompt, and how far is that from its GEMM floor?

`python benchmarks/text_encoder.py`: two floors. One is at the machine's top int8 rate, from a product of 1024 rows;
the other is the time of the graph's own integer products, 77 rows each.
"""

from collections import Counter
from pathlib import Path

import click
import onnx
import torch
from onnx import TensorProto

from case import Case, case_options, open_case
from lira_runtime.errors import cli_guard
from lira_runtime.interface import PROMPT_TOKENS
from report import show_figures
from timing import ceilings, gflop, int8_gemm, interleaved, rates


def measure(case: Case, rounds: int) -> dict[str, float]:
    """Times in ms, GFLOP and ratios by name."""
    encoder = case.models.text_encoder
    products = integer_products(case.graph("text_encoder"))
    gemms = ceilings(case.threads)
    own_gemms = {shape: int8_gemm(case.threads, PROMPT_TOKENS, *shape) for shape in products}
    named = gemms | {str(shape): gemm for shape, gemm in own_gemms.items()}
    runs = {"encoder": case.runner("text_encoder"), **{name: gemm.run for name, gemm in named.items()}}
    times = interleaved(runs, rounds)
    rate = rates(named, times)
    own = gflop(lambda: encoder(torch.zeros(1, PROMPT_TOKENS, dtype=torch.int32)))
    arithmetic = {shape: 2 * PROMPT_TOKENS * shape[0] * shape[1] / 1e9 for shape in products}
    top_floor = 1e3 * own / rate["int8 GEMM"]
    own_floor = sum(1e3 * count * arithmetic[shape] / rate[str(shape)] for shape, count in products.items())
    return {
        "text encoder GFLOP": own,
        "of it integer products GFLOP": sum(count * arithmetic[shape] for shape, count in products.items()),
        "int8 text encoder ms": times["encoder"],
        "fp32 GEMM ceiling GFLOP/s": rate["fp32 GEMM"],
        "int8 GEMM ceiling Gop/s": rate["int8 GEMM"],
        "int8 GEMM floor ms": top_floor,
        f"int8 GEMM floor at {PROMPT_TOKENS} rows ms": own_floor,
        "text encoder / int8 GEMM floor": times["encoder"] / top_floor,
        f"text encoder / floor at {PROMPT_TOKENS} rows": times["encoder"] / own_floor,
    }


def integer_products(graph: Path) -> Counter[tuple[int, int]]:
    """(depth, columns) of every product with an int8 matrix of weights -> how many there are."""
    loaded = onnx.load(graph, load_external_data=False).graph
    weights = {w.name: w.dims for w in loaded.initializer if w.data_type == TensorProto.INT8 and len(w.dims) == 2}
    return Counter(
        (weights[name][0], weights[name][1])
        for node in loaded.node
        if "MatMul" in node.op_type
        for name in node.input
        if name in weights
    )


@click.command()
@case_options
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True)
def command(config: str, path: Path | None, threads: int, as_json: bool, rounds: int) -> None:
    """Time the text encoder against its GEMM floors."""
    case = open_case(config, path, threads)
    show_figures(f"text encoder: {case.title}", measure(case, rounds), as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

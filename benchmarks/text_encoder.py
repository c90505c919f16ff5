"""How long does the text encoder take for one prompt, and how far is that from its GEMM floor?

`python benchmarks/text_encoder.py`: two floors. One is at the machine's top int8 rate, from a product of 1024 rows;
the other at the rate of the encoder's own shapes, 77 rows each, which no machine multiplies as fast.
"""

from pathlib import Path

import click
import torch

from case import Case, case_options, open_case
from lira_runtime.errors import cli_guard
from lira_runtime.manifest import PROMPT_TOKENS
from report import show_figures
from timing import ceilings, gflop, int8_gemm, interleaved, rates

LAYER = {"projection": 4, "widen": 1, "narrow": 1}
"""Products of one layer: query, key, value and out, then the MLP's two."""


def measure(case: Case, rounds: int) -> dict[str, float]:
    """Times in ms, GFLOP and ratios by name."""
    encoder = case.models.text_encoder
    width = encoder.width
    gemms = ceilings(case.threads)
    shapes = {
        "projection": int8_gemm(case.threads, PROMPT_TOKENS, width, width),
        "widen": int8_gemm(case.threads, PROMPT_TOKENS, width, 4 * width),
        "narrow": int8_gemm(case.threads, PROMPT_TOKENS, 4 * width, width),
    }
    runs = {"encoder": case.runner("text_encoder"), **{name: g.run for name, g in (gemms | shapes).items()}}
    times = interleaved(runs, rounds)
    rate = rates(gemms | shapes, times)
    own = gflop(lambda: encoder(torch.zeros(1, PROMPT_TOKENS, dtype=torch.int32)))
    layer = sum(count * shapes[name].gflop for name, count in LAYER.items())
    own_rate = layer / sum(count * shapes[name].gflop / rate[name] for name, count in LAYER.items())
    top_floor, own_floor = 1e3 * own / rate["int8 GEMM"], 1e3 * own / own_rate
    return {
        "text encoder GFLOP": own,
        "int8 text encoder ms": times["encoder"],
        "fp32 GEMM ceiling GFLOP/s": rate["fp32 GEMM"],
        "int8 GEMM ceiling Gop/s": rate["int8 GEMM"],
        f"int8 GEMM of {PROMPT_TOKENS} rows Gop/s": own_rate,
        "int8 GEMM floor ms": top_floor,
        f"int8 GEMM floor at {PROMPT_TOKENS} rows ms": own_floor,
        "text encoder / int8 GEMM floor": times["encoder"] / top_floor,
        f"text encoder / floor at {PROMPT_TOKENS} rows": times["encoder"] / own_floor,
    }


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

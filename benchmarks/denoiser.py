"""How long is one denoiser step, how far is it from what this machine's GEMMs allow, and how long is SANA-0.6B's?

`python benchmarks/denoiser.py`: the int8 step of the bundle, the eager float32 step, SANA's int8 step on as many
tokens, and the machine's GEMM ceilings, all in turn in one run; medians. SANA's share that depends on the prompt alone
is given too: a pipeline could compute it once.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import torch

import peers
from case import Case, case_options, open_case, runner
from lira_runtime.errors import cli_guard
from lira_runtime.interface import PROMPT_TOKENS
from report import show_figures
from timing import ceilings, gflop, interleaved, rates


def measure(case: Case, rounds: int, sana: Mapping[str, Any] | None = peers.SANA_600M) -> dict[str, float]:
    """Times in ms, GFLOP and ratios by name; `sana` is the configuration of the peer, None for none."""
    models = case.models
    latent = torch.randn(case.latent_shape)
    inputs = (latent, torch.tensor([0.5]), torch.randn(1, PROMPT_TOKENS, models.text_encoder.width))
    eager = torch.inference_mode()(lambda: models.denoiser(*inputs))
    gemms = ceilings(case.threads)
    runs = {"step": case.runner("denoiser"), "eager": eager, **{name: gemm.run for name, gemm in gemms.items()}}
    side = math.isqrt(case.tokens)
    if sana is not None:
        runs["sana"] = runner(peers.sana_graph(side, sana), case.threads)
    times = interleaved(runs, rounds)
    rate, own = rates(gemms, times), gflop(eager)
    figures = {
        "step GFLOP": own,
        "int8 step ms": times["step"],
        "eager fp32 step ms": times["eager"],
        "fp32 GEMM ceiling GFLOP/s": rate["fp32 GEMM"],
        "int8 GEMM ceiling Gop/s": rate["int8 GEMM"],
        "int8 GEMM floor ms": 1e3 * own / rate["int8 GEMM"],
        "fp32 GEMM floor ms": 1e3 * own / rate["fp32 GEMM"],
        "eager fp32 step / int8 step": times["eager"] / times["step"],
        "int8 step / int8 GEMM floor": times["step"] * rate["int8 GEMM"] / own / 1e3,
        "int8 step / fp32 GEMM floor": times["step"] * rate["fp32 GEMM"] / own / 1e3,
    }
    if sana is not None:
        figures |= _beside_sana(side, sana, times, rate["int8 GEMM"])
    return figures


def _beside_sana(side: int, sana: Mapping[str, Any], times: Mapping[str, float], int8_rate: float) -> dict[str, float]:
    total = peers.sana_gflop(side, sana)
    return {
        "SANA step GFLOP": total,
        "SANA GFLOP of the prompt alone": peers.sana_prompt_gflop(sana),
        "SANA int8 step ms": times["sana"],
        "SANA int8 step / its int8 GEMM floor": times["sana"] * int8_rate / total / 1e3,
        "SANA int8 step / int8 step": times["sana"] / times["step"],
    }


@click.command()
@case_options
@click.option("--rounds", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--sana/--no-sana", default=True, help="Time SANA-0.6B in the same run.")
def command(config: str, path: Path | None, threads: int, as_json: bool, rounds: int, sana: bool) -> None:
    """Time a denoiser step against eager, against SANA and against the machine's ceilings."""
    case = open_case(config, path, threads)
    show_figures(f"denoiser: {case.title}", measure(case, rounds, peers.SANA_600M if sana else None), as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

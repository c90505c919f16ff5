"""How do a step's time and memory grow with the tokens, and how do SANA-0.6B's?

`python benchmarks/scaling.py [--px 512 --px 1024 ...] [--plot docs/scaling.png]`: one denoiser graph for each picture
size, SANA beside it, each in a fresh process; memory is over the idle process. SANA stops at --sana-up-to tokens.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import fresh
import peers
from case import BUILD, Case, case_options, open_case
from lira_runtime.errors import cli_guard
from report import Row, figure, show_rows
from timing import ceilings, interleaved, rates

SIZES = (512, 1024, 2048, 4096)
"""Sides in px: 256, 1024, 4096 and 16 384 tokens of an f32 latent."""


def measure(
    cases: Sequence[Case], repeats: int, sana_up_to: int, sana: Mapping[str, Any] = peers.SANA_600M
) -> list[Row]:
    """One row for each case: tokens, px, ms and MB of a step, and of SANA's (None where it was not run)."""
    rows = []
    for case in cases:
        own = fresh.measure(case.graph("denoiser"), case.threads, repeats)
        peer = None
        if case.tokens <= sana_up_to:
            peer = fresh.measure(peers.sana_graph(math.isqrt(case.tokens), sana), case.threads, repeats)
        rows.append(
            {
                "tokens": case.tokens,
                "px": case.resolution,
                "ms": own.ms,
                "us a token": 1e3 * own.ms / case.tokens,
                "MB": own.peak_bytes / 1e6,
                "SANA ms": peer and peer.ms,
                "SANA MB": peer and peer.peak_bytes / 1e6,
                "SANA ms / ms": peer and peer.ms / own.ms,
            }
        )
    return rows


def growth(rows: Sequence[Row]) -> dict[str, float]:
    """Time of each size over that of the size before it, by a name that gives both counts of tokens."""
    return {
        f"time at {b['tokens']} tokens / at {a['tokens']}": b["ms"] / a["ms"]
        for a, b in zip(rows, rows[1:], strict=False)
    }


def draw(rows: Sequence[Row], goal: Path) -> None:
    """Time and memory against tokens, both axes logarithmic, with a line of exact proportion."""
    with figure(goal, columns=2) as (time, memory):
        ends = [rows[0]["tokens"], rows[-1]["tokens"]]
        time.loglog(ends, [rows[0]["ms"] * n / ends[0] for n in ends], "k:", label="linear")
        for axes, unit in ((time, "ms"), (memory, "MB")):
            for name, key in (("LiRA", unit), ("SANA-0.6B", f"SANA {unit}")):
                points = [(row["tokens"], row[key]) for row in rows if row[key] is not None]
                if points:
                    axes.loglog(*zip(*points, strict=True), marker="o", label=name)
            axes.set_xlabel("image tokens")
            axes.set_xticks([row["tokens"] for row in rows], [str(row["tokens"]) for row in rows], minor=False)
            axes.set_xticks([], minor=True)
            axes.grid(alpha=0.3)
        time.set_ylabel("ms a step")
        memory.set_ylabel("MB over an idle process")
        time.legend()


@click.command()
@case_options
@click.option("--px", "sizes", type=int, multiple=True, default=SIZES, show_default=True, help="Side; repeatable.")
@click.option("--sana-up-to", type=int, default=4096, show_default=True, help="Most tokens to run SANA at.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the table as a PNG.")
def command(
    config: str,
    path: Path | None,
    threads: int,
    as_json: bool,
    sizes: tuple[int, ...],
    sana_up_to: int,
    repeats: int,
    plot: Path | None,
) -> None:
    """Time and memory of a step by picture size; --bundle is the folder of the bundles of all sizes."""
    cases = []
    for px in sorted(set(sizes)):
        cases.append(open_case(config, (path or BUILD) / f"{config}-{px}px-onnx", threads, px, ("denoiser",)))
    rows = measure(cases, repeats, sana_up_to)
    gemms = ceilings(threads)
    rate = rates(gemms, interleaved({name: gemm.run for name, gemm in gemms.items()}, 7))
    figures = {"fp32 GEMM ceiling GFLOP/s": rate["fp32 GEMM"], "int8 GEMM ceiling Gop/s": rate["int8 GEMM"]}
    show_rows(f"scaling: {config}, {threads} threads", rows, figures | growth(rows), as_json)
    if plot is not None:
        draw(rows, plot)


main = cli_guard(command)

if __name__ == "__main__":
    main()

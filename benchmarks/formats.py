"""How fast is one format beside another? Every component that two bundles share, one run of each.

`python benchmarks/formats.py BUNDLE_A BUNDLE_B`: both formats' engines hold the component at once and run it in turn on
the same random inputs; medians, with the range over the rounds, and the ratio A / B of the runs of each round.
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import Graph
from report import show_rows
from timing import laps


def measure(
    bundles: tuple[Bundle, Bundle], resolution: int, threads: int, rounds: int
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """A row for each component that both hold, at pictures of `resolution` px, and the ratios by name."""
    rows, ratios = [], {}
    for name in COMPONENTS:
        if all(bundle.holds(name) for bundle in bundles):
            runs = {side: _run(bundle, name, resolution, threads) for side, bundle in zip("AB", bundles, strict=True)}
            a, b = laps(runs, rounds).values()
            rows.append({"component": name, **_spread("A ms", a), **_spread("B ms", b)})
            found = [x / y for x, y in zip(a, b, strict=True)]
            ratios[f"{name}, A / B"] = median(found)
            ratios[f"{name}, A / B, least"], ratios[f"{name}, A / B, most"] = min(found), max(found)
    return rows, ratios


def _run(bundle: Bundle, name: str, resolution: int, threads: int) -> Callable[[], object]:
    graph = bundle.graph(name, resolution)
    backend = backend_for(bundle.manifest.target, SessionSettings(threads=threads))
    backend.load(graph, bundle.path)
    inputs = _inputs(graph)
    return lambda: backend.run(inputs)


def _inputs(graph: Graph) -> dict[str, Any]:
    """Normal floats, integers 0 or 1; the same for graphs of the same tensors."""
    rng = np.random.default_rng(0)
    return {
        each.name: (
            rng.standard_normal(each.shape) if each.dtype.startswith("float") else rng.integers(0, 2, each.shape)
        ).astype(each.dtype)
        for each in graph.inputs
    }


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {name: median(values), f"{name}, least": min(values), f"{name}, most": max(values)}


def shared_resolution(bundles: tuple[Bundle, Bundle]) -> int:
    """The first bundle's first resolution that the second has too."""
    first, second = (bundle.manifest.resolutions for bundle in bundles)
    shared = [resolution for resolution in first if resolution in second]
    if not shared:
        raise BadInput(f"the bundles share no resolution: {first} px and {second} px.")
    return shared[0]


@click.command()
@click.argument("paths", nargs=2, type=click.Path(path_type=Path), metavar="BUNDLE_A BUNDLE_B")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(paths: tuple[Path, Path], threads: int, rounds: int, as_json: bool) -> None:
    """Time the components of two bundles beside each other."""
    bundles = (Bundle.open(paths[0]), Bundle.open(paths[1]))
    resolution = shared_resolution(bundles)
    a, b = (bundle.manifest.target for bundle in bundles)
    title = f"A: {a}, B: {b}, {bundles[0].manifest.preset} {resolution} px, {threads} threads, medians of {rounds}"
    show_rows(title, *measure(bundles, resolution, threads, rounds), as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

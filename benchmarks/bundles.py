"""How long is a picture by one bundle, and by another, such as the few-step student's?

`python benchmarks/bundles.py build/nano-onnx build/turbo-onnx`: whole pictures by the runtime's own pipeline, in turn
in one run, each bundle with the steps and the guidance of its manifest; medians of the picture, every stage loaded
anew, and of the denoiser's stage.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import click

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.errors import cli_guard
from lira_runtime.pipeline import Pipeline, Request, StageFinished
from report import show_rows
from timing import interleaved

PROMPT = "a cat left of a dog on a green background"


class Drawer:
    """Draws one picture a call and keeps the denoiser's seconds."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._pipeline = Pipeline(bundle, backend_for(bundle.manifest.target, SessionSettings(threads)))
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __call__(self) -> None:
        for event in self._pipeline.generate(Request(PROMPT)):
            if isinstance(event, StageFinished):
                self.seconds[event.stage].append(event.seconds)


def measure(bundles: Mapping[str, Bundle], threads: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each bundle: the denoiser's passes, and the medians."""
    drawers = {name: Drawer(bundle, threads) for name, bundle in bundles.items()}
    pictures, rows = interleaved(drawers, rounds), []
    for name, bundle in bundles.items():
        sampler = bundle.manifest.sampler
        passes = sampler.steps * (1 if sampler.guidance == 1 else 2)
        denoiser = 1e3 * median(drawers[name].seconds["denoiser"][1:])
        rows.append({"bundle": name, "passes": passes, "picture ms": pictures[name], "denoiser ms": denoiser})
    return rows


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="BUNDLE...")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(paths: tuple[Path, ...], threads: int, rounds: int, as_json: bool) -> None:
    """Time whole pictures of bundles beside each other; ratios are against the last bundle."""
    rows = measure({str(path): Bundle.open(path) for path in paths}, threads, rounds)
    *others, last = rows
    ratios = {f"{row['bundle']} / {last['bundle']}": row["picture ms"] / last["picture ms"] for row in others}
    show_rows(f"pictures of {len(rows)} bundles, {threads} threads, medians of {rounds}", rows, ratios, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

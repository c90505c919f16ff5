"""Many drawings in one process: memory, open files and threads stay where they are."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from campaign.bundles import signed_toy
from campaign.tally import Tally

WARM = 0.2
"""Share of the drawings before which nothing is judged: libraries fill their pools."""
MOST_SLOPE = 256.0
"""Bytes a drawing that resident memory may grow by: the toy's picture alone has 768, its latent 1024."""
MOST_MORE = 4 << 20
"""Bytes that it may grow by in all between the two halves, where the drawings are few."""
Draw = Callable[[int], None]


def generations(count: int, seed: int, only: int | None = None) -> Tally:
    """Draw `count` pictures, one after another, through the API."""
    tally = Tally("generations in one process")
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        bundle, _ = signed_toy(Path(folder))
        watch(tally, drawing(bundle, Path(folder) / "a.png", seed), count)
    return tally


def drawing(bundle_path: Path, out: Path, seed: int) -> Draw:
    """Draws and writes a picture each time, as a program does that serves pictures.

    It keeps the tokenizer, whose library holds on to 1 to 7 KB for every one that is loaded and used.
    """
    from lira_runtime.backends.choose import backend_for
    from lira_runtime.backends.session import SessionSettings
    from lira_runtime.bundle import Bundle
    from lira_runtime.image import write_png
    from lira_runtime.pipeline import ImageReady, Pipeline, Request

    bundle = Bundle.open(bundle_path)
    backend = backend_for(bundle.manifest.target, SessionSettings(threads=1))
    pipeline = Pipeline(bundle, backend, keep_tokenizer=True)

    def draw(number: int) -> None:
        for event in pipeline.generate(Request(f"picture {number}", seed=seed + number, steps=2)):
            if isinstance(event, ImageReady):
                write_png(out, event.image, {"prompt": f"picture {number}"})

    return draw


def watch(tally: Tally, draw: Draw, count: int) -> None:
    """Draw, and judge what the process holds after each."""
    resident, files, threads = [], [], []
    for number in range(count):
        draw(number)
        resident.append(_resident())
        files.append(len(os.listdir("/proc/self/fd")))
        threads.append(len(os.listdir("/proc/self/task")))
        tally.count("accepted")
    settled = np.array(resident[int(WARM * count) :], float)
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    halves = settled[: len(settled) // 2].mean(), settled[len(settled) // 2 :].mean()
    tally.notes.append(
        f"resident {settled[0] / 1e6:.1f} MB to {settled[-1] / 1e6:.1f} MB over the last {len(settled)}, "
        f"slope {slope:+.0f} bytes a drawing; {files[-1]} files, {threads[-1]} threads"
    )
    if slope > MOST_SLOPE and halves[1] - halves[0] > MOST_MORE:
        tally.blame(f"memory grows by {slope:.0f} bytes a drawing")
    for what, seen in (("files", files), ("threads", threads)):
        if seen[-1] > seen[int(WARM * count)]:
            tally.blame(f"open {what} grow from {seen[int(WARM * count)]} to {seen[-1]}")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

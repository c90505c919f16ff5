"""Watching a run: a bar on a terminal, plain lines in a pipe, JSON lines for programs; the curve; TensorBoard.

OUT/curve.jsonl has one line a step: {"step", "loss", "velocity", "rate", "images_per_second", "seconds"}, where step
counts from 1, both losses are means over the global batch and seconds is training time over all runs.
"""

import json
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from lira.training.loop import TrainingState
from lira.training.recipe import Run
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write
from lira_runtime.progress import Progress

CURVE_NAME = "curve.jsonl"
TENSORBOARD_NAME = "tensorboard"


@dataclass(frozen=True)
class View:
    """How a run is shown."""

    json: bool = False
    """JSON lines on stderr instead of a bar or plain lines."""
    tensorboard: bool = False
    """Also write TensorBoard's event files."""
    decoder: Path | None = None
    """Weights of the decoder that sample sheets are drawn with; none, no sheets."""


class Watched(Protocol):
    """What a recipe says about how its run is watched."""

    @property
    def steps(self) -> int: ...

    @property
    def run(self) -> Run: ...


class Watch:
    """Shows and records the steps of a run in `out` that starts, or goes on, at `first`; use as a context manager."""

    def __init__(self, out: Path, first: int, recipe: Watched, view: View) -> None:
        self._recipe, self._view = recipe, view
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=recipe.run.log_every + 1)
        cut_curve(out / CURVE_NAME, first)
        self._curve = (out / CURVE_NAME).open("a", encoding="utf-8")
        self._progress = Progress(recipe.steps, "train")
        self._board: Any = None
        if view.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / TENSORBOARD_NAME), purge_step=first)

    def record(self, state: TrainingState, loss: float, velocity: float, images: int) -> None:
        """Take in the step that `state` has just done on a global batch of `images`."""
        self._times.append((time.monotonic(), images))
        span = max(1e-9, self._times[-1][0] - self._times[0][0])
        speed = sum(count for _, count in list(self._times)[1:]) / span
        rate = state.optimizer.param_groups[0]["lr"]
        point = {"step": state.step, "loss": loss, "velocity": velocity, "rate": rate}
        point |= {"images_per_second": round(speed, 2), "seconds": round(state.seconds, 2)}
        self._curve.write(json.dumps(point) + "\n")
        self._curve.flush()
        if state.step % self._recipe.run.log_every == 0 or state.step == self._recipe.steps:
            remaining = (self._recipe.steps - state.step) * span / (len(self._times) - 1)
            self._show(point, remaining)

    def _show(self, point: dict[str, Any], remaining: float) -> None:
        steps = self._recipe.steps
        note = f"loss {point['loss']:.4f}, velocity {point['velocity']:.4f}, {point['images_per_second']:.1f} images/s"
        if self._view.json:
            record = {"event": "train", **point, "steps": steps, "eta_seconds": round(remaining)}
            print(json.dumps(record), file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            self._progress.update(point["step"], f"{note}, {_duration(remaining)} left")
        else:
            line = f"step {point['step']}/{steps}  {note}, rate {point['rate']:.2e}, {_duration(remaining)} left"
            print(line, file=sys.stderr, flush=True)
        if self._board:
            for name in ("loss", "velocity", "rate", "images_per_second"):
                self._board.add_scalar(name, point[name], point["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.close()
        self._curve.close()
        if self._board:
            self._board.close()


def read_curve(path: Path) -> list[dict[str, float]]:
    """The points of a curve file; a last line that a kill cut off is left out. Raises BadInput when it is no curve."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"No training curve at {path}.") from error
    points = []
    for number, line in enumerate(lines, 1):
        try:
            point = json.loads(line)
            points.append({"step": int(point["step"]), **point})
        except (ValueError, KeyError, TypeError) as error:
            if number < len(lines):
                raise BadInput(f"Line {number} of {path} is no point of a training curve.") from error
    return points


def cut_curve(path: Path, step: int) -> None:
    """Keep the points up to `step`, where a run goes on; the file need not exist."""
    points = read_curve(path) if path.exists() else []
    with atomic_write(path) as part:
        part.write_text("".join(json.dumps(p) + "\n" for p in points if p["step"] <= step), encoding="utf-8")


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{hours} h"

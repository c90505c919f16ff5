"""Watching a run: a bar on a terminal, plain lines in a pipe, events for programs; the curve; TensorBoard.

OUT/curve.jsonl has one line a step: {"step", "loss", "rate", "images_per_second", "seconds"} and the terms of the loss,
where step counts from 1, losses are means over the global batch and seconds is training time over all runs. Programs
get the events `train`, `held_out` and `interrupted`.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lira.training.state import TrainingState
from lira_runtime import events
from lira_runtime.errors import BadInput
from lira_runtime.files import atomic_write
from lira_runtime.progress import Progress
from lira_runtime.say import say

CURVE_NAME = "curve.jsonl"
TENSORBOARD_NAME = "tensorboard"


@dataclass(frozen=True)
class View:
    """How a run is shown."""

    json: bool = False
    """Events on stdout instead of a bar or plain lines."""
    tensorboard: bool = False
    """Also write TensorBoard's event files."""
    decoder: Path | None = None
    """Weights of the decoder that sample sheets are drawn with; none, no sheets."""


class Watch:
    """Shows and records a run of `steps` steps in `out` that starts, or goes on, with `state`; a context manager.

    Every step goes to the curve, every `log_every`-th to the eye.
    """

    def __init__(
        self,
        out: Path,
        state: TrainingState,
        steps: int,
        log_every: int,
        view: View = View(),  # noqa: B008
    ) -> None:
        self._steps, self._log_every, self._view = steps, log_every, view
        self._out, self._state = out, state
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], maxlen=log_every + 1)
        cut_curve(out / CURVE_NAME, state.step)
        self._curve = (out / CURVE_NAME).open("a", encoding="utf-8")
        self._progress = Progress(steps, "train", json=view.json)
        for note in state.notes:
            self._progress.warn(note)
        self._board: Any = None
        if view.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / TENSORBOARD_NAME), purge_step=state.step)

    def record(self, state: TrainingState, terms: Mapping[str, float], images: int) -> None:
        """Take in the step that `state` has just done on a global batch of `images`; `terms` holds "loss" at least."""
        self._times.append((time.monotonic(), images))
        span = max(1e-9, self._times[-1][0] - self._times[0][0])
        speed = sum(count for _, count in list(self._times)[1:]) / span
        rate = state.optimizer.param_groups[0]["lr"]
        point = {"step": state.step, **terms, "rate": rate}
        point |= {"images_per_second": round(speed, 2), "seconds": round(state.seconds, 2)}
        self._curve.write(json.dumps(point) + "\n")
        self._curve.flush()
        if self.is_due(state.step):
            remaining = (self._steps - state.step) * span / (len(self._times) - 1)
            self._show(point, list(terms), remaining)

    def is_due(self, step: int) -> bool:
        """Whether step `step` is shown: each `log_every`-th, and the last."""
        return step % self._log_every == 0 or step == self._steps

    def held_out(self, step: int, figures: Mapping[str, float]) -> None:
        """Show what was measured on held-out data after `step` steps."""
        if self._view.json:
            events.emit(events.HeldOut(step=step, figures=dict(figures)))
        else:
            self._progress.break_line()
            self._say(f"step {step}/{self._steps}  held out: {_listed(figures)}")
        self._to_board(step, {f"held_out/{name}": value for name, value in figures.items()})

    def result(self, sentence: str, figures: Mapping[str, float]) -> None:
        """Tell what a finished run has come to: a sentence on stdout, for programs figures of held-out data."""
        if self._view.json:
            events.emit(events.HeldOut(step=self._state.step, figures=dict(figures)))
        else:
            self._progress.close()
            say(sentence)

    def _interrupted(self) -> None:
        saved = self._state.saved_step
        if self._view.json:
            events.emit(events.Interrupted(saved_step=saved, out=str(self._out)))
        else:
            self._progress.close()
            what = "no step is saved yet" if saved is None else f"step {saved} is saved"
            self._say(f"{what} in {self._out}; --resume goes on.")

    def _show(self, point: dict[str, Any], terms: list[str], remaining: float) -> None:
        note = f"{_listed({name: point[name] for name in terms})}, {point['images_per_second']:.1f} images/s"
        if self._view.json:
            events.emit(_event(point, terms, self._steps, round(remaining)))
        elif sys.stderr.isatty():
            self._progress.update(point["step"], f"{note}, {_duration(remaining)} left")
        else:
            place = f"step {point['step']}/{self._steps}"
            self._say(f"{place}  {note}, rate {point['rate']:.2e}, {_duration(remaining)} left")
        self._to_board(point["step"], {name: point[name] for name in (*terms, "rate", "images_per_second")})

    def _to_board(self, step: int, figures: Mapping[str, float]) -> None:
        if self._board:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)

    def _say(self, line: str) -> None:
        say(line, err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            self._interrupted()
        self._progress.close()
        self._curve.close()
        if self._board:
            self._board.close()


def _event(point: Mapping[str, Any], terms: Sequence[str], steps: int, eta_seconds: int) -> events.TrainingStep:
    return events.TrainingStep(
        step=point["step"],
        steps=steps,
        terms={name: point[name] for name in terms},
        rate=point["rate"],
        images_per_second=point["images_per_second"],
        seconds=point["seconds"],
        eta_seconds=eta_seconds,
    )


def read_curve(path: Path) -> list[dict[str, float]]:
    """The points of a curve file; a last line that a kill cut off is left out. Raises BadInput when it is no curve."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"No training curve at {path}.") from error
    points = []
    for number, line in enumerate(lines, 1):
        try:
            points.append(_point(line))
        except (ValueError, OverflowError) as error:
            if number < len(lines):
                raise BadInput(f"Line {number} of {path} is no point of a training curve.") from error
    return points


def _point(line: str) -> dict[str, float]:
    """Raises ValueError or OverflowError unless the line holds numbers by name, a step and a loss among them."""
    point = json.loads(line)
    if not isinstance(point, dict) or not isinstance(point.get("step"), int) or "loss" not in point:
        raise ValueError("no step or no loss")
    for value in point.values():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("not a number")
        float(value)
    return point


def cut_curve(path: Path, step: int) -> None:
    """Keep the points up to `step`, where a run goes on; the file need not exist."""
    points = read_curve(path) if path.exists() else []
    with atomic_write(path) as part:
        part.write_text("".join(json.dumps(p) + "\n" for p in points if p["step"] <= step), encoding="utf-8")


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{hours} h"

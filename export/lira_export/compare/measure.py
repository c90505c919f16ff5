"""Draw the same prompts with every column, each in a process of its own, and read back what it left."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from lira_export.compare.columns import Column
from lira_export.compare.draw import JOB, RECORD, STEP, Asked, Job, Record
from lira_export.drawing import Drawing
from lira_runtime.errors import (
    EXIT_INTERRUPTED,
    BadInput,
    DamagedBundle,
    LiRAError,
    OverBudget,
    ParityLost,
)

KINDS = {kind.exit_code: kind for kind in (BadInput, OverBudget, ParityLost, DamagedBundle)}


@dataclass(frozen=True, eq=False)
class Measured:
    """drawings: in the order of the prompts. idle_bytes: resident memory of the process before the first one."""

    column: Column
    drawings: tuple[Drawing, ...]
    idle_bytes: int


def draw_apart(column: Column, asked: Asked, on_step: Callable[[], None]) -> Measured:
    """Draw all prompts in a fresh process.

    Raises:
        LiRAError: what the process could not do; the kind and the sentence are its own.
    """
    place = None if column.checkpoint is None else str(column.checkpoint)
    job = Job(str(column.bundle.path), column.eager, place, asked)
    with tempfile.TemporaryDirectory(prefix="lira-compare-") as name:
        folder = Path(name)
        _run(column.name, job, folder, on_step)
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
        drawings = []
        for index, stages in enumerate(record.stages):
            with np.load(folder / f"{index}.npz") as arrays:
                drawings.append(Drawing(tuple(arrays["x0"]), arrays["image"], stages))
    return Measured(column, tuple(drawings), record.idle_bytes)


def _run(name: str, job: Job, folder: Path, on_step: Callable[[], None]) -> None:
    (folder / JOB).write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", "lira_export.compare.draw", str(folder)]
    complaints = folder / "stderr"
    with (
        complaints.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as child,
    ):
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.strip() == STEP.encode():
                    on_step()
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise _failure(name, child.returncode, complaints.read_text(errors="replace"))


def _failure(name: str, code: int, complaints: str) -> BaseException:
    """What the process died of, as the error that this one ends with."""
    if code == EXIT_INTERRUPTED:
        return KeyboardInterrupt()
    if code < 0:
        return OverBudget(
            f"{name}: its process was ended by signal {-code}, as the system does when memory runs out.",
            "out_of_memory",
        )
    lines = complaints.strip().splitlines() or [f"its process ended with status {code}"]
    kind = KINDS.get(code, LiRAError)
    return kind(f"{name}: {lines[-1].removeprefix('error: ')}")

"""What every command says to programs with --json: one JSON object a line on stdout, told apart by `event`.

The last line is a `result`, whose `command` says which fields it has, or an `error`. A command's own kind of result
is defined beside it. `python -m lira_export.schema` prints the JSON schema of them all, docs/events.schema.json.
Numbers that are not finite are null.
"""

import sys
from typing import Any, Literal, TextIO

import msgspec
from msgspec import Struct

from lira_runtime.codes import Code

JSON_HELP = "One JSON object a line on stdout (docs/commands.md)."
Figures = dict[str, float | None]
"""Measured numbers by name."""


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="event", tag=""):
    """Base of all that a command says."""


class Progress(Event, frozen=True, kw_only=True, tag="progress"):
    """Units of work that are done, of a total that is 0 where it is not known; seconds since the work began."""

    label: str
    done: int
    total: int
    seconds: float
    note: str = ""


class Note(Event, frozen=True, kw_only=True, tag="note"):
    """A sentence for people."""

    text: str
    level: Literal["info", "warning"] = "info"


class PromptCut(Event, frozen=True, kw_only=True, tag="prompt_cut"):
    """The end of a prompt, which was too long and has no effect."""

    dropped: str


class NotVerified(Event, frozen=True, kw_only=True, tag="not_verified"):
    """How many files of a bundle, and bytes in them, no SHA-256 was looked at of."""

    files: int
    bytes: int


class Component(Event, frozen=True, kw_only=True, tag="component"):
    """A component of an export is there; reused: it was before."""

    name: str
    reused: bool


class Bundle(Event, frozen=True, kw_only=True, tag="bundle"):
    """A bundle was written: its folder, the bytes of its files, and the plot of how its drawing drifts from eager's."""

    path: str
    bytes: int
    drift_plot: str | None


class Candidate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way to export: px, recipe, loading mode, what it would take and keep, and whether that fits the budget."""

    resolution: int
    recipe: str
    weights: str
    predicted_bytes: int
    stages: dict[str, int]
    psnr_db: float | None
    fits: bool


class Plan(Event, frozen=True, kw_only=True, tag="plan"):
    """What an export would write; predicted: where its memory can be predicted."""

    bundle: str
    recipe: str
    parameters: dict[str, int]
    predicted: Candidate | None = None


class Candidates(Event, frozen=True, kw_only=True, tag="candidates"):
    """All ways to export that were weighed against a budget."""

    candidates: tuple[Candidate, ...]


class TrainingStep(Event, frozen=True, kw_only=True, tag="train"):
    """A step of `steps`, from 1 on: the loss and its terms, the rate, and the time since the first run's start."""

    step: int
    steps: int
    terms: Figures
    rate: float
    images_per_second: float
    seconds: float
    eta_seconds: int


class HeldOut(Event, frozen=True, kw_only=True, tag="held_out"):
    """What was measured on held-out data after a step."""

    step: int
    figures: Figures


class Interrupted(Event, frozen=True, kw_only=True, tag="interrupted"):
    """A run was stopped; --resume goes on from the step that is saved, where one is. An `error` follows."""

    saved_step: int | None
    out: str


class Checked(Event, frozen=True, kw_only=True, tag="check"):
    """What `lira-verify` looked at; the fields are those of `lira_runtime.trust.check.Check`."""

    check: str
    subject: str
    status: Literal["ok", "failed", "not_checked"]
    code: Code | None
    said: str


class Version(Event, frozen=True, kw_only=True, tag="version"):
    """Of a command, and of the tools that it uses; null where one is not installed."""

    command: str
    version: str
    tools: dict[str, str | None]


class Error(Event, frozen=True, kw_only=True, tag="error"):
    """Why the command ends; the message is what stderr says too, but for `internal`."""

    code: Code
    exit_code: int
    message: str


class Result(Event, frozen=True, kw_only=True, tag="result"):
    """Base of what commands come to; each has a field `command` with its name."""


class Measured(Result, frozen=True, kw_only=True, tag="result"):
    """What a script of benchmarks/ measured: rows of a table, and figures."""

    command: Literal["benchmark"] = "benchmark"
    title: str
    rows: tuple[dict[str, Any], ...] = ()
    figures: Figures = {}


def emit(event: Event, stream: TextIO | None = None) -> None:
    """Print an event on its line, on stdout; of a file's name, what is no Unicode is escaped."""
    try:
        line = msgspec.json.encode(event)
    except UnicodeEncodeError:
        line = msgspec.json.encode(_escaped(msgspec.to_builtins(event)))
    print(line.decode(), file=stream or sys.stdout, flush=True)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(name): _escaped(each) for name, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list | tuple) else value

"""What an export says while it works: to people line by line, to programs as events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lira_export.table import contents_table
from lira_runtime import events
from lira_runtime.manifest import Manifest
from lira_runtime.say import say

SEED_NOTICE = """\
************************************************************************
*  NO WEIGHTS: this model is random, from seed {seed:<24}*
*  Its pictures are noise. Give --checkpoint DIR to export a trained   *
*  model; sizes, speed and memory are those of the real one.           *
************************************************************************"""


class Exported(events.Result, frozen=True, kw_only=True, tag="result"):
    """The bundles that were written, one for each target; none with --dry-run."""

    command: Literal["lira-export"] = "lira-export"
    bundles: tuple[str, ...]


@dataclass
class Voice:
    """Says it all one way or the other."""

    as_json: bool
    written: list[str] = field(default_factory=list)

    def show(self, lines: Sequence[str], event: events.Event) -> None:
        """Lines for people, on stdout, or the event that stands for them."""
        if self.as_json:
            events.emit(event)
        else:
            say(lines)

    def say(self, line: str) -> None:
        """A line of progress."""
        if self.as_json:
            events.emit(events.Note(text=line))
        else:
            say(line, err=True)

    def say_random(self, seed: int) -> None:
        """There are no trained weights."""
        if self.as_json:
            events.emit(events.Note(text=f"no weights: this model is random, from seed {seed}.", level="warning"))
        else:
            say(SEED_NOTICE.format(seed=seed).splitlines(), err=True)

    def tell(self, component: str, reused: bool) -> None:
        """A component is there: whether it was before."""
        if self.as_json:
            events.emit(events.Component(name=component, reused=reused))
        else:
            self.say(f"{component}: {'kept from before' if reused else 'made'}")

    def wrote(self, bundle: Manifest, out: Path, plot: Path | None) -> None:
        """A bundle is there; plot: of its drawing's drift, which a partial one does not have."""
        self.written.append(str(out))
        size = sum(entry.bytes for entry in bundle.files())
        drawn = [] if plot is None else [f"drift of the drawing: {plot}"]
        lines = [*contents_table(bundle), *drawn, f"{out}: {size / 1e6:.1f} MB"]
        self.show(lines, events.Bundle(path=str(out), bytes=size, drift_plot=None if plot is None else str(plot)))

    def end(self) -> None:
        """Nothing is left to do."""
        if self.as_json:
            events.emit(Exported(bundles=tuple(self.written)))

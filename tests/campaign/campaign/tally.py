"""What came of one class of the campaign, and the table of all of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

SAID_EVERY = 500
"""Cases between two lines that say how far a class is."""
Verdict = Literal["refused", "accepted"]
SHOWN = 20
"""Faults that are listed in full; all are counted."""


class Tally(msgspec.Struct):
    """One row: how many cases were refused cleanly, accepted rightly, or ended otherwise, which must be none.

    faults: of each case that ended otherwise, how to repeat it and what was wrong. notes: figures worth printing.
    """

    name: str
    refused: int = 0
    accepted: int = 0
    faults: list[str] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    seconds: float = 0.0

    @property
    def tried(self) -> int:
        """All cases."""
        return self.refused + self.accepted + len(self.faults)

    def blame(self, fault: str) -> None:
        """Count a case that did not, and say so at once."""
        self.faults.append(fault)
        print(f"FAULT {self.name}: {fault}", file=sys.stderr, flush=True)

    def count(self, verdict: Verdict) -> None:
        """Count a case that ended as it should."""
        if verdict == "refused":
            self.refused += 1
        else:
            self.accepted += 1
        if self.tried % SAID_EVERY == 0:
            print(f"{self.name}: {self.tried}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Table:
    """The rows of a whole campaign, and the seed that repeats it."""

    seed: int
    scale: float
    rows: Sequence[Tally] = field(default_factory=tuple)

    @property
    def clean(self) -> bool:
        """Whether every class tried something, and nothing ended otherwise."""
        return bool(self.rows) and all(row.tried and not row.faults for row in self.rows)

    def lines(self) -> list[str]:
        """As text."""
        cells = [("class", "tried", "refused cleanly", "accepted rightly", "anything else", "seconds")]
        for row in self.rows:
            figures = (row.tried, row.refused, row.accepted, len(row.faults), round(row.seconds))
            cells.append((row.name, *map(str, figures)))  # type: ignore[arg-type]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zipped))
            for zipped in (list(zip(row, widths, strict=True)) for row in cells)
        ]
        notes = [f"{row.name}: {note}" for row in self.rows for note in row.notes]
        faults = [f"FAULT {row.name}: {fault}" for row in self.rows for fault in row.faults[:SHOWN]]
        return [*lines, f"seed {self.seed}, scale {self.scale:g}", *notes, *faults]

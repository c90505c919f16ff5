"""Progress: on stderr a bar on a terminal and plain lines in a pipe; for programs events on stdout."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

from lira_runtime import events
from lira_runtime.say import printable

_BAR_CELLS = 28
_PLAIN_EVERY = 0.25  # share of the total between two plain lines


class Progress:
    """Counts `total` units of work under one label.

    With json=True every update is an event `progress`, and every warning a `note`. Use as a context manager, or call
    close(); a total below 1 shows only the label.
    """

    def __init__(self, total: int, label: str, json: bool = False, stream: TextIO | None = None) -> None:
        self.total = max(total, 0)
        self.label = printable(label)
        self.done = 0
        self._json = json
        self._stream = stream if stream is not None else sys.stdout if json else sys.stderr
        self._bar = not json and self._stream.isatty()
        self._start = time.monotonic()
        self._last_plain = -1.0
        self._closed = False

    def advance(self, units: int = 1, note: str = "") -> None:
        """Add finished units and show the new state; `note` is a short remark such as 'loss 0.12'."""
        self.update(self.done + units, note)

    def update(self, done: int, note: str = "") -> None:
        """Set the number of finished units and show it."""
        self.done = min(done, self.total) if self.total else done
        seconds = time.monotonic() - self._start
        if self._json:
            rounded = round(seconds, 3)
            update = events.Progress(label=self.label, done=self.done, total=self.total, seconds=rounded, note=note)
            events.emit(update, self._stream)
        elif self._bar:
            self._say("\r\x1b[2K" + self._line(seconds, note))
        elif self._plain_is_due():
            self._say(self._plain_line(seconds, note))

    def warn(self, sentence: str) -> None:
        """Show a warning on a line of its own."""
        if self._json:
            events.emit(events.Note(text=sentence, level="warning"), self._stream)
            return
        self.break_line()
        self._say(f"warning: {printable(sentence)}\n")

    def break_line(self) -> None:
        """Clear the bar, where there is one, for a line of other text; the next update draws it again."""
        if self._bar:
            self._say("\r\x1b[2K")

    def close(self) -> None:
        """End the bar's line; safe to call twice."""
        if self._bar and not self._closed and self.done:
            self._say("\n")
        self._closed = True

    def _plain_is_due(self) -> bool:
        share = self.done / self.total if self.total else 1.0
        if share < 1.0 and share - self._last_plain < _PLAIN_EVERY and self._last_plain >= 0:
            return False
        self._last_plain = share
        return True

    def _plain_line(self, seconds: float, note: str) -> str:
        count = f" {self.done}/{self.total}" if self.total else ""
        return f"{self.label}{count} {seconds:.1f} s{' ' + printable(note) if note else ''}\n"

    def _line(self, seconds: float, note: str) -> str:
        filled = round(_BAR_CELLS * self.done / self.total) if self.total else 0
        bar = "#" * filled + "." * (_BAR_CELLS - filled)
        return f"{self.label} [{bar}] {self.done}/{self.total} {seconds:.1f} s {printable(note)}".rstrip()

    def _say(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

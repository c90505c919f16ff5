"""The three streams that every process has: what cannot be said is not said, and the exit code stays.

A stream that was closed before the start leads nowhere: its number would else be that of the first file to be opened,
and Python's `print` would say on stdout what was meant for stderr. What stderr cannot take is dropped. Results are
another matter: where stdout is there and cannot take one, the command fails.

Nothing but the standard library is imported here.
"""

import io
import os
import sys
from typing import Any

_MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


class _Unheard(io.FileIO):
    """A file whose writes never fail."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` so; calling it twice changes nothing."""
    for name, mode in _MODES.items():  # in the order of their numbers: each gets its own, which is the lowest free one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    error = sys.stderr
    if error is sys.__stderr__ and isinstance(error, io.TextIOWrapper) and not _is_unheard(error):
        raw = _Unheard(error.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), encoding=error.encoding, line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may hold what no encoding has


def drop_stdout() -> None:
    """What stdout did not take is not tried again when the interpreter ends, which would change the exit code."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _is_unheard(stream: io.TextIOWrapper) -> bool:
    return isinstance(getattr(stream.buffer, "raw", None), _Unheard)

"""Where a case plays, and what a child in it says."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

PIECE = 1 << 20
"""Bytes that a pipe holds, and that are read of it at once."""
Stamp = tuple[str, int, int, int]


@dataclass(frozen=True)
class Yard:
    """A folder in which a case plays: `bundle`, and `out`, `cache` and `tmp`, where commands may write."""

    place: Path

    @property
    def bundle(self) -> Path:
        """The bundle of the case."""
        return self.place / "bundle"

    @property
    def out(self) -> Path:
        """Where results go."""
        return self.place / "out"

    @property
    def writable(self) -> tuple[str, ...]:
        """Folders in which anything may be changed."""
        return tuple(str(self.place / name) for name in ("out", "cache", "tmp"))

    def make(self) -> None:
        """Make the folders."""
        for folder in (*self.writable, self.place / "home"):
            os.makedirs(folder, exist_ok=True)

    def stamps(self) -> set[Stamp]:
        """Everything in the yard that no command may change: name, size, time of change, inode."""
        found = set()
        for folder, inner, names in os.walk(self.place):
            if folder == str(self.place):
                inner[:] = [name for name in inner if str(self.place / name) not in self.writable]
            for name in [*inner, *names]:
                state = os.lstat(os.path.join(folder, name))
                size = state.st_size if name in names else 0
                found.add((os.path.join(folder, name), size, state.st_mtime_ns, state.st_ino))
        return found


@dataclass(frozen=True)
class Pipe:
    """A pipe in which a child says what it has to say: a file's size can be limited, and its disk be full."""

    reading: int
    writing: int
    said: bytearray = field(default_factory=bytearray)

    @classmethod
    def new(cls) -> Self:
        """One that blocks nobody who reads."""
        pipe = cls(*os.pipe())
        fcntl.fcntl(pipe.writing, fcntl.F_SETPIPE_SZ, PIECE)
        os.set_blocking(pipe.reading, False)
        return pipe

    def drain(self) -> None:
        """Take what is in it."""
        with suppress(BlockingIOError):
            while piece := os.read(self.reading, PIECE):
                self.said.extend(piece)

    def text(self) -> str:
        """All that was said."""
        self.drain()
        return self.said.decode(errors="replace")

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reading)
        os.close(self.writing)


@contextmanager
def listening() -> Iterator[tuple[Pipe, Pipe, Pipe]]:
    pipes = Pipe.new(), Pipe.new(), Pipe.new()
    try:
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()

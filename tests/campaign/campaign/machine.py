"""A machine that is short of something, for one child: rights, room, time, or somebody who listens."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from campaign.sandbox import Command

CAPSET, VERSION = 126 if os.uname().machine == "x86_64" else 91, 0x20080522
"""Linux's system call, and the version of its records."""


def drop_rights(command: Command) -> Command:
    """Without the rights by which root writes and reads where nobody may."""

    def run() -> object:
        header, nothing = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
        if ctypes.CDLL(None, use_errno=True).syscall(CAPSET, header, nothing):
            raise OSError(ctypes.get_errno(), "rights cannot be dropped")
        return command()

    return run


def limit_files(command: Command, most: int) -> Command:
    """With files of at most so many bytes."""

    def run() -> object:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python's own start has it: a write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        return command()

    return run


def clock_back(command: Command, after: int, seconds: float = 86_400.0) -> Command:
    """With a clock that goes back by so many seconds when it has been asked so often."""

    def run() -> object:
        honest, asked = time.time_ns, 0

        def now() -> int:
            nonlocal asked
            asked += 1
            return honest() - (round(seconds * 1e9) if asked > after else 0)

        time.time_ns, time.time = now, lambda: now() / 1e9
        return command()

    return run


def without_reader(command: Command) -> Command:
    """With a stdout whose reader has gone."""

    def run() -> object:
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
        return command()

    return run


def may_mount() -> bool:
    """Whether this user may mount a disk."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Full(Path(folder)):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


class Full:
    """A folder on a disk of its own, of 64 MiB, of which `leave` leaves so many bytes. Needs the right to mount."""

    filler = "filler"
    size = 64 << 20

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._mount(f"size={self.size}")
        return self

    def leave(self, room: int) -> None:
        """Fill all but this, to whole pages."""
        state = os.statvfs(self._folder)
        with open(self._folder / self.filler, "wb") as file:
            file.write(bytes(max(state.f_bavail * state.f_frsize - room, 0) // state.f_frsize * state.f_frsize))

    def grow(self) -> None:
        """Make room."""
        (self._folder / self.filler).unlink()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", str(self._folder)], check=True)

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "lira-campaign", str(self._folder)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

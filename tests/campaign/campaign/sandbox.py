"""One command of the product in a child process of its own: what it said, how it ended, and what it wrote where.

The parent has imported everything and started no thread, so that a child begins in milliseconds.
"""

import functools
import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.yard import Pipe, Yard, listening
from lira_runtime.memory import meter

MOST_SECONDS = 10.0
"""Of a processor's time; and six times as many by the clock, since others may be busy on the machine too."""
PATIENCE = 6
MOST_GROWN = 1 << 30
"""Bytes of resident memory beyond what a command takes anyway."""
NORMAL = 256 << 20
"""What a command takes anyway of the toy bundle or of a model of one block, in bytes, over the parent; measured: 53."""
GUARD = 12 << 30
"""Address space beyond the parent's: the machine must outlive a case that asks for everything."""
REFUSALS = (2, 3, 4, 5)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "os.chmod"}
Command = Callable[[], object]


@dataclass(frozen=True)
class Ended:
    """How a child ended. code: its exit code, negative for a signal.

    grown: resident bytes over a child that does nothing. wrote: what it changed outside of the places where it may
    write. hung: killed because it took too long. stopped: it was meant to die.
    """

    code: int
    out: str
    err: str
    seconds: float
    grown: int
    wrote: tuple[str, ...]
    hung: bool
    stopped: bool = False

    def fault(self) -> str | None:
        """What is wrong with how it ended, whatever it was asked; None for success and for a clean refusal."""
        if self.hung:
            return f"it hung for {self.seconds:.0f} s"
        if "Traceback" in self.err or "panicked" in self.err:
            return "it ended in a traceback: " + " | ".join(self.err.strip().splitlines()[-3:])[-400:]
        if self.code < 0 and not self.stopped:
            return f"it died of {signal.Signals(-self.code).name}"
        if self.grown > NORMAL + MOST_GROWN:
            return f"it took {self.grown >> 20} MiB"
        if self.wrote:
            return f"it wrote {', '.join(self.wrote)[:300]}"
        complaints = [line for line in self.err.splitlines() if line.startswith("error: ")]
        if self.code and (self.code not in REFUSALS or len(complaints) != 1):
            return f"it ended with {self.code} and said {self.err[-300:]!r}"
        return f"it succeeded and complained: {complaints[0]}" if complaints and not self.code else None


def settle() -> None:
    """Spare every child the search for garbage among the parent's objects; call once, after the imports."""
    gc.collect()
    gc.freeze()


@functools.cache
def _idle_bytes() -> int:
    """The greatest resident size of a child that does nothing."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    return os.wait4(pid, 0)[2].ru_maxrss * 1024


def call(main: Callable[[list[str]], object], *arguments: str | Path) -> Command:
    """A product's `main` with its arguments."""
    return lambda: main([str(each) for each in arguments])


def events(said: str) -> list[dict[str, Any]]:
    """The JSON objects that a command said, one a line; no other end of a line that Unicode knows is one.

    Raises ValueError where it said anything else.
    """
    return [json.loads(line) for line in said.split("\n") if line]


@dataclass(frozen=True)
class Stop:
    """A signal that a child gets so many seconds after its start; SIGKILL goes to all that it has started, too."""

    after: float
    number: signal.Signals = signal.SIGKILL


def run(command: Command, yard: Yard, seconds: float = MOST_SECONDS, stop: Stop | None = None) -> Ended:
    """Run a command in a child, and see what it does."""
    before = yard.stamps()
    with listening() as pipes:
        out, err, wrote = pipes
        begun = time.monotonic()
        pid = os.fork()
        if not pid:
            _live(command, yard, out.writing, err.writing, wrote.writing)
        os.setpgid(pid, pid)  # whoever of the two is first
        if stop is not None and not _ended_within(pid, stop.after, pipes):
            (os.killpg if stop.number == signal.SIGKILL else os.kill)(pid, stop.number)
        hung = not _ended_in_time(pid, seconds, pipes)
        if hung:
            os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        taken = time.monotonic() - begun
        said = [each.text() for each in (out, err, wrote)]
    changed = sorted({stamp[0] for stamp in before ^ yard.stamps()})
    code = os.waitstatus_to_exitcode(status)
    grown = usage.ru_maxrss * 1024 - _idle_bytes()
    return Ended(code, said[0], said[1], taken, grown, tuple(changed + said[2].splitlines()), hung, stop is not None)


def _live(command: Command, yard: Yard, out: int, err: int, wrote: int) -> None:
    """The child's whole life."""
    code = 70
    try:
        os.setpgid(0, 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)
        home = yard.place / "home"
        os.environ |= {"LIRA_CACHE": yard.writable[1], "TMPDIR": yard.writable[2], "HOME": str(home)}
        tempfile.tempdir = yard.writable[2]
        os.chdir(home)
        limit = _virtual() + GUARD
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        meter.keep_mark()  # or what the kernel says of the child's greatest size would be that of its last stage
        _watch_writes(yard.writable, wrote)
        command()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch_writes(writable: Sequence[str], log: int) -> None:
    """Note every path outside of `writable` that Python code opens for writing or changes."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            paths = [path] if isinstance(flags, int) and flags & WRITING else []
        else:
            paths = list(arguments[:2]) if event in CHANGING else []
        for path in paths:
            if not isinstance(path, str | bytes | os.PathLike):
                continue
            folder = arguments[1] if event in ("os.remove", "os.rmdir") else -1
            start = os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) and folder >= 0 else os.getcwd()
            place = os.path.normpath(os.path.join(start, os.fsdecode(path)))
            if place == os.devnull or place.startswith("/proc/self/"):
                continue
            if not f"{place}/".startswith(tuple(f"{folder}/" for folder in writable)):
                os.write(log, os.fsencode(f"{event} {place}\n"))

    sys.addaudithook(hook)


def _ended_in_time(pid: int, seconds: float, pipes: Sequence[Pipe]) -> bool:
    """Whether it ends before it has had so many seconds of a processor, or `PATIENCE` times as many by the clock."""
    begun, step = time.monotonic(), seconds
    while not _ended_within(pid, step, pipes):
        used = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        if used / os.sysconf("SC_CLK_TCK") >= seconds or time.monotonic() - begun > PATIENCE * seconds:
            return False
        step = 0.2
    return True


def _ended_within(pid: int, seconds: float, pipes: Sequence[Pipe]) -> bool:
    """Wait for a child, and listen to it meanwhile."""
    handle, end = os.pidfd_open(pid), time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            ready = select.select([handle, *(pipe.reading for pipe in pipes)], [], [], left)[0]
            for pipe in pipes:
                pipe.drain()
            if handle in ready:
                return True
        return False
    finally:
        os.close(handle)


def _virtual() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

"""Starts a process that says when its phases begin and end (`child`), and samples its memory from outside."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Literal

from lira_runtime.codes import Code
from lira_runtime.errors import EXIT_INTERRUPTED, BadInput, DamagedBundle, LiRAError, OverBudget, ParityLost
from lira_runtime.memory.child import Order
from lira_runtime.memory.reading import Reading, read

SAMPLE_SECONDS = 0.004
Source = Literal["kernel", "sampled"]
_ERRORS: dict[int, type[LiRAError]] = {
    kind.exit_code: kind for kind in (BadInput, OverBudget, ParityLost, DamagedBundle)
}


@dataclass(frozen=True)
class Sample:
    """seconds: since the process was started. reading: taken between `seconds` and `until`.

    Whoever samples may be put off the processor in between, for longer than a phase takes.
    """

    seconds: float
    until: float
    reading: Reading

    def within(self, begin: float, end: float) -> bool:
        """Whether it was surely taken between the two, in seconds since the process was started."""
        return begin <= self.seconds and self.until <= end


@dataclass(frozen=True)
class Phase:
    """begin, end: seconds since the process was started. after: what was in memory at the end.

    peak: greatest resident size within, in bytes; source: "kernel" where its mark was set back or rose within the
    phase, which is exact, else the greatest of the samples.
    """

    name: str
    begin: float
    end: float
    after: Reading
    peak: int
    source: Source

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True)
class Watched:
    """One process from start to end.

    peak: its greatest resident size, in bytes. maxrss: what the kernel says of the ended process (wait4), in bytes; the
    peak of all its life if it never set its mark back. None where that cannot be told from what it inherited.
    """

    name: str
    phases: tuple[Phase, ...]
    samples: tuple[Sample, ...]
    peak: int
    maxrss: int | None

    @property
    def peak_anonymous(self) -> int:
        """The greatest anonymous memory that was seen, in bytes; the kernel keeps no mark of it."""
        readings = [sample.reading for sample in self.samples] + [phase.after for phase in self.phases]
        return max(reading.anonymous for reading in readings)

    @property
    def peak_sampled(self) -> int:
        """The greatest resident size that was seen from outside, in bytes; 0 where it ended before anybody looked."""
        return max((sample.reading.resident for sample in self.samples), default=0)

    def phase(self, name: str) -> Phase:
        """The phase called `name`; KeyError where there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)


def watch_order(name: str, order: Order) -> Watched:
    """Run an order in a fresh process; raises as `watch` does."""
    # -P: a file in the current folder must not stand for a module.
    return watch(name, [sys.executable, "-P", "-m", "lira_runtime.memory.child", order.to_json(), "--json"])


def watch(name: str, command: Sequence[str]) -> Watched:
    """Run a command that prints a child's lines, and sample it until it ends.

    Raises the LiRAError of its exit code with its own sentence and code, OverBudget where it is killed as the system
    does when memory runs out, DamagedBundle where it crashes.
    """
    inherited = read(os.getpid()).mark  # the kernel counts the parent's pages until the child's program starts
    with tempfile.TemporaryFile() as complaints:
        origin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        log = _Log(origin)
        assert process.stdout is not None
        try:
            _follow(process.pid, process.stdout, log)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
            process.stdout.close()
        _check(name, process.returncode, log, complaints)
    maxrss = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    peak = max([phase.peak for phase in log.phases] + [sample.reading.resident for sample in log.samples])
    return Watched(name, tuple(log.phases), tuple(log.samples), peak, maxrss if maxrss > inherited else None)


@dataclass
class _Log:
    origin: float
    samples: list[Sample] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    open: dict[str, Any] | None = None
    error_code: Code | None = None

    def sample(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            begin, reading = time.monotonic(), read(pid)
            self.samples.append(Sample(begin - self.origin, time.monotonic() - self.origin, reading))

    def take(self, line: bytes) -> None:
        record = json.loads(line)
        if "begin" in record:
            self.open = record
        elif record.get("event") == "error":
            self.error_code = record["code"]
        elif self.open is not None:
            self.phases.append(self._closed(self.open, record))
            self.open = None

    def _closed(self, first: dict[str, Any], last: dict[str, Any]) -> Phase:
        begin, end = first["at"] - self.origin, last["at"] - self.origin
        after = Reading(last["resident"], last["anonymous"], last["file_backed"], last["mark"])
        seen = [sample.reading.resident for sample in self.samples if sample.within(begin, end)]
        peak = max([after.resident, *seen])
        if first["reset"] or after.mark > first["mark"]:
            # The kernel keeps its mark by counters that lag by some pages: a sample may be above it.
            return Phase(first["begin"], begin, end, after, max(after.mark, peak), "kernel")
        return Phase(first["begin"], begin, end, after, peak, "sampled")


def _follow(pid: int, stdout: IO[bytes], log: _Log) -> None:
    """Sample until the process closes its output."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            log.sample(pid)
            if not selector.select(SAMPLE_SECONDS):
                continue
            data = os.read(stdout.fileno(), 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                log.take(line)


def _check(name: str, code: int, log: _Log, complaints: IO[bytes]) -> None:
    complaints.seek(0)
    where = f"the {name.replace('_', ' ')}" + (f", in its phase '{log.open['begin']}'" if log.open else "")
    check_ended(f"the process that ran {where},", code, complaints.read(), log.error_code)


def check_ended(process: str, code: int, complaints: bytes, error_code: Code | None) -> None:
    """Raise what a process of ours that ended with `code` and said `complaints` on stderr stands for.

    process: the subject of the sentences. error_code: of the event `error` that it ended with, if it came to say one.
    The LiRAError of its exit code comes with its own sentence and code; OverBudget where it was killed, DamagedBundle
    where it crashed, RuntimeError for a fault of ours.
    """
    if code == 0:
        return
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    said = complaints.decode(errors="replace").strip().splitlines()
    if code == -signal.SIGKILL:
        raise OverBudget(f"{process} was killed; the system does that when memory runs out.", "out_of_memory")
    if code < 0:
        raise DamagedBundle(f"{process} crashed with {signal.Signals(-code).name}.", "graph_failed")
    if code in _ERRORS and said:
        raise _ERRORS[code](said[-1].removeprefix("error: "), error_code)
    raise RuntimeError(f"{process} failed: " + " | ".join(said[-3:]))

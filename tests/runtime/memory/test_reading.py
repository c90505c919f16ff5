"""A process that takes known amounts, read from outside, beside what psutil and the kernel's page tables say of it."""

import ctypes
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from lira_runtime.memory import reading
from lira_runtime.memory.reading import Reading, read

MIB = 1 << 20
HOLDER = """
import mmap, sys
print("ready", flush=True)
sys.stdin.readline()
exec(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""
ANONYMOUS = "block = bytearray({size})"
SHARED = "block = mmap.mmap(-1, {size}); block.write(bytes({size}))"
MAPPED = """
file = open({path!r}, "rb")
weights = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
touched = sum(weights[place] for place in range(0, len(weights), mmap.PAGESIZE))
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@contextmanager
def holding(script: str) -> Iterator[tuple[int, Reading]]:
    """Yield a process that has run a script and waits, and what it held before."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        try:
            assert process.stdout.readline() == "ready\n"
            before = read(process.pid)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "held\n"
            yield process.pid, before
        finally:
            process.kill()


def a_file(folder: Path, size: int) -> Path:
    path = folder / "mapped"
    path.write_bytes(os.urandom(MIB) * (size // MIB))
    return path


@linux_only
def test_anonymous_memory_and_a_mapped_file_are_told_apart(tmp_path: Path) -> None:
    script = ANONYMOUS.format(size=64 * MIB) + MAPPED.format(path=str(a_file(tmp_path, 48 * MIB)))
    with holding(script) as (pid, before):
        after = read(pid)
    assert after.anonymous - before.anonymous == pytest.approx(64 * MIB, rel=0.02)
    assert after.file_backed - before.file_backed == pytest.approx(48 * MIB, rel=0.02)
    assert after.resident == after.anonymous + after.file_backed


@linux_only
def test_shared_memory_counts_as_anonymous_because_no_file_holds_it() -> None:
    with holding(SHARED.format(size=32 * MIB)) as (pid, before):
        after = read(pid)
    assert after.anonymous - before.anonymous == pytest.approx(32 * MIB, rel=0.02)
    assert after.file_backed - before.file_backed < MIB


@linux_only
def test_psutil_and_the_page_tables_say_the_same(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil", reason="psutil is not installed: no second opinion")
    script = ANONYMOUS.format(size=64 * MIB) + MAPPED.format(path=str(a_file(tmp_path, 48 * MIB)))
    with holding(script) as (pid, _):
        found = read(pid)
        theirs = psutil.Process(pid)
        rss, maps = theirs.memory_info().rss, theirs.memory_maps()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    anonymous = int(re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024  # type: ignore[index]
    assert found.resident == pytest.approx(rss, rel=0.02)
    assert found.anonymous == pytest.approx(anonymous, rel=0.02)
    assert found.anonymous == pytest.approx(sum(each.anonymous for each in maps), rel=0.02)
    assert found.file_backed == pytest.approx(sum(each.rss - each.anonymous for each in maps), rel=0.02)


@linux_only
def test_the_mark_remembers_what_was_given_back() -> None:
    with holding(ANONYMOUS.format(size=64 * MIB) + "\ndel block") as (pid, before):
        after = read(pid)
    assert after.mark - before.resident == pytest.approx(64 * MIB, rel=0.02)
    assert after.resident - before.resident < 8 * MIB


@linux_only
def test_a_process_that_has_ended_is_no_process_whether_or_not_it_was_waited_for() -> None:
    process = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError):
        read(process.pid)
    process.wait()
    with pytest.raises(ProcessLookupError):
        read(process.pid)


def test_on_macos_the_footprint_is_read_where_the_system_header_puts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets of struct rusage_info_v4 in <sys/resource.h>; the code itself has never run on macOS."""
    fields = {64: 500 * MIB, 72: 300 * MIB, 240: 350 * MIB}

    def proc_pid_rusage(pid: int, flavour: int, buffer: object) -> int:
        if pid == 1:
            return -1
        assert flavour == 4
        structure = buffer._obj  # type: ignore[attr-defined]
        assert ctypes.sizeof(structure) == 296
        for offset, value in fields.items():
            ctypes.memmove(ctypes.addressof(structure) + offset, struct.pack("<Q", value), 8)
        return 0

    library = SimpleNamespace(proc_pid_rusage=proc_pid_rusage)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(reading.ctypes, "CDLL", lambda path, use_errno: library)
    assert read(7) == Reading(resident=500 * MIB, anonymous=300 * MIB, file_backed=200 * MIB, mark=350 * MIB)
    with pytest.raises(ProcessLookupError):
        read(1)

"""A command that may take so much memory and no more."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lira_runtime.memory.reading import read

CGROUP_V1 = Path("/sys/fs/cgroup/memory")
CGROUP_V2 = Path("/sys/fs/cgroup")
SAMPLE_SECONDS = 0.003
Limited = Callable[[Sequence[str], int], subprocess.CompletedProcess[str]]
"""Runs a command under a limit in bytes; its return code is that of SIGKILL where it took more."""


def in_cgroup(command: Sequence[str], limit: int) -> subprocess.CompletedProcess[str]:
    """The kernel counts anonymous pages and pages of files that nobody had read before, and kills by its own rules.

    Raises OSError where this user may make no memory cgroup.
    """
    with _cgroup(limit) as folder:
        procs = folder / "cgroup.procs"
        joining = f'echo $$ > {procs} && exec "$@"'
        return subprocess.run(["/bin/sh", "-c", joining, "sh", *command], capture_output=True, text=True)


@contextmanager
def _cgroup(limit: int) -> Iterator[Path]:
    v1 = CGROUP_V1.is_dir()
    folder = (CGROUP_V1 if v1 else CGROUP_V2) / f"lira-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(limit))
        yield folder
    finally:
        folder.rmdir()


def by_watcher(command: Sequence[str], limit: int) -> subprocess.CompletedProcess[str]:
    """All resident pages count, files' too, as samples see them; the first one above the limit kills."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        try:
            resident = read(process.pid).resident
        except ProcessLookupError:
            break
        if resident > limit:
            process.send_signal(signal.SIGKILL)
        time.sleep(SAMPLE_SECONDS)
    out, err = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)

"""Processes that a command starts, as forks of its own: a new interpreter would take longer than all the rest."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Any

from campaign.sandbox import Command


def forking(command: Command) -> Command:
    """The same command, with the processes that it profiles forked instead of started."""

    def run() -> object:
        subprocess.Popen = ForkedChild  # type: ignore[assignment, misc]  in a child of our own, which ends after this
        return command()

    return run


class ForkedChild:
    """As much of `subprocess.Popen` as `lira_runtime.memory.watch` asks for, for its own kind of child."""

    def __init__(self, command: Sequence[str], stdin: int, stdout: int, stderr: IO[bytes]) -> None:
        self.returncode: int | None = None
        reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(reading)
            os.dup2(writing, 1)
            os.dup2(stderr.fileno(), 2)
            _live(command)
        os.close(writing)
        self.stdout = os.fdopen(reading, "rb")

    def kill(self) -> None:
        """End it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait for its end."""
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _live(command: Sequence[str]) -> Any:
    from lira_runtime.memory import child

    code = 70
    try:
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
        sys.argv = ["child", *command[-2:]]  # the order, and --json
        child.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

"""Ctrl-C and SIGTERM: one line and exit code 130 wherever they come, and no library is stopped half-way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from event_lines import read_events

from lira_runtime.commands import COMMANDS

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "export", ROOT / "runtime")))}
SENT_WHEN_IMPORTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it

class Sender:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{number})

sys.meta_path.insert(0, Sender())
from lira_runtime.commands import start
start({name!r}, ["--json"])
"""
FRAGILE = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.{number})
    for _ in range(20):
        time.sleep(0.01)
except BaseException:
    print("interrupted half-way", flush=True)
print("whole", flush=True)
"""
IMPORTS_IT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from lira_runtime.errors import cli_guard

def main():
    import fragile
    import time
    time.sleep(20)
    print("not stopped")

cli_guard(main)()
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_interrupted_while_it_is_imported_ends_as_at_any_other_time(name: str) -> None:
    code = SENT_WHEN_IMPORTED.format(module=COMMANDS[name].module, number="SIGINT", name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert (done.returncode, done.stderr) == (130, "error: interrupted.\n")
    (error,) = read_events(done.stdout)
    assert (error["code"], error["exit_code"]) == ("interrupted", 130)


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_import_is_finished_before_the_interrupt_is_heard(number: str, tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE.format(number=number))
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])}
    command = [sys.executable, "-c", IMPORTS_IT]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "whole\n", "error: interrupted.\n")


def test_handlers_are_what_they_were_after_a_command() -> None:
    from lira_runtime.interrupts import gentle_interrupts

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with gentle_interrupts():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    from lira_runtime.interrupts import gentle_interrupts

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with gentle_interrupts():
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

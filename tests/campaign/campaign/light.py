"""A process with the runtime alone: its children begin in a fraction of the time that those of one with torch take."""

import os
from importlib import import_module
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from campaign.forked import forking
from campaign.sandbox import Ended, call, run, settle
from campaign.yard import Yard

MODULES = {"generate": "lira_runtime.cli", "profile": "lira_runtime.memory.profile_cli"}


class Light:
    """Begin it before anything large is imported; it ends with this process."""

    def __init__(self) -> None:
        self._ours, theirs = Pipe()
        if not os.fork():
            self._ours.close()
            _serve(theirs)
        theirs.close()

    def run(self, name: str, yard: Yard, *arguments: str | Path) -> Ended:
        """Run one of `MODULES` as `campaign.sandbox.run` does."""
        self._ours.send((name, yard, arguments))
        ended: Ended = self._ours.recv()
        return ended


def _serve(asked: Connection) -> None:
    mains = {name: import_module(module).main for name, module in MODULES.items()}
    settle()
    while True:
        try:
            name, yard, arguments = asked.recv()
        except EOFError:
            os._exit(0)
        asked.send(run(forking(call(mains[name], *arguments)), yard))

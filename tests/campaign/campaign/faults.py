"""An export over a bundle that fails, or dies, at each of its own calls that change files, counted one by one.

The calls are counted beneath Python, by a library that is preloaded (`shim.c`).
"""

import ctypes
import mmap
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from random import Random

from campaign.aftermath import Wrong, check_left, check_next, state
from campaign.exports import NEW, SECONDS, Rig, make_rig
from campaign.sandbox import Command, Yard, run
from campaign.tally import Tally

SHIM = "LIRA_CAMPAIGN_SHIM"
"""Environment variable: where the preloaded library lies."""
COUNT, FAIL, DIE, DIE_HALF = range(4)
WAYS = {FAIL: "no space", DIE: "death", DIE_HALF: "death when half is written"}


def build_shim(folder: Path) -> dict[str, str]:
    """Compile the library; returns the environment in which it is preloaded. Raises RuntimeError without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("a C compiler, cc, is needed to fail at every write")
    source, library = Path(__file__).with_name("shim.c"), folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), SHIM: str(library)}


def at_every_write(count: int, seed: int, only: int | None = None) -> Tally:
    """At most `count` of all calls and ways to fail there."""
    tally, library = Tally("faults at every write"), ctypes.CDLL(os.environ[SHIM])
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        rig, yard = make_rig(Path(folder) / "rig"), Yard(Path(folder) / "yard")
        counter = ctypes.c_long.from_buffer(mmap.mmap(-1, mmap.PAGESIZE))

        def armed(at: int, way: int) -> Command:
            command = rig.export(yard, "--overwrite", "--json")

            def run_armed() -> object:
                counter.value = 0
                library.lira_arm(ctypes.byref(counter), ctypes.c_long(at), way)
                return command()

            return run_armed

        calls = _calls(rig, yard, armed(0, COUNT), counter)
        every = [(at, way) for at in range(calls) for way in WAYS]
        tally.notes.append(f"{calls} calls that change files in one export, {len(every)} ways to fail")
        cases = every if count >= len(every) else sorted(Random(f"{seed} faults").sample(every, count))
        for case in range(len(cases)) if only is None else [only]:
            at, way = cases[case]
            try:
                found = _struck(rig, yard, armed(at, way), way)
                tally.count("accepted" if found == NEW else "refused")
            except Wrong as wrong:
                tally.blame(f"case {case}: {WAYS[way]} at call {at} of {calls}: {wrong}")
    return tally


def _calls(rig: Rig, yard: Yard, counting: Command, counter: ctypes.c_long) -> int:
    rig.lay(yard)
    ended = run(counting, yard, SECONDS)
    if ended.code or ended.fault() or not counter.value:
        raise RuntimeError(f"an export that nothing stops, {counter.value} calls: {ended}")
    return counter.value


def _struck(rig: Rig, yard: Yard, command: Command, way: int) -> str:
    """Which bundle is there afterwards. Raises Wrong."""
    rig.lay(yard)
    ended = run(command, yard, SECONDS)
    if way == FAIL and ended.fault():
        raise Wrong(ended.fault())
    if way != FAIL and (ended.hung or "Traceback" in ended.err or ended.code not in (0, -9)):
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]}")
    found = state(rig, yard)
    if ended.code == 0 and found != NEW:
        raise Wrong("it reported a success that it was none")
    check_left(yard)
    check_next(rig, yard)
    return found

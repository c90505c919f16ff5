"""Exports over a bundle that are there no more at a random moment, or are interrupted: old or new, and the next one."""

import re
import signal
import tempfile
from pathlib import Path
from random import Random
from statistics import median

from campaign.aftermath import Wrong, check_left, check_next, state
from campaign.exports import NEW, SECONDS, Rig, make_rig
from campaign.sandbox import Stop, Yard, run
from campaign.tally import Tally

PARTS = re.compile(r"\.lira-bundle\.\w+\.(part|old)")


def killed(count: int, seed: int, only: int | None = None) -> Tally:
    """SIGKILL."""
    return _class("kill -9 of exports", signal.SIGKILL, count, seed, only)


def interrupted(count: int, seed: int, only: int | None = None) -> Tally:
    """Ctrl-C."""
    return _class("Ctrl-C of exports", signal.SIGINT, count, seed, only)


def _class(name: str, which: signal.Signals, count: int, seed: int, only: int | None) -> Tally:
    tally = Tally(name)
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        rig, yard = make_rig(Path(folder) / "rig"), Yard(Path(folder) / "yard")
        duration = _duration(rig, yard)
        tally.notes.append(f"an export takes {duration:.1f} s; stopped at moments drawn evenly from that")
        for case in range(count) if only is None else [only]:
            moment = Random(f"{seed} {name} {case}").uniform(0, duration)
            try:
                found = _stopped(rig, yard, Stop(moment, which))
                tally.count("accepted" if found == NEW else "refused")
            except Wrong as wrong:
                tally.blame(f"case {case}, at {moment:.3f} s of {duration:.1f}: {wrong}")
    return tally


def _duration(rig: Rig, yard: Yard) -> float:
    taken = []
    for _ in range(3):
        rig.lay(yard)
        ended = run(rig.export(yard, "--overwrite", "--json"), yard, SECONDS)
        if ended.code or ended.fault():
            raise RuntimeError(f"an export that nothing stops: {ended}")
        taken.append(ended.seconds)
    return median(taken)


def _stopped(rig: Rig, yard: Yard, stop: Stop) -> str:
    """Which bundle is there afterwards. Raises Wrong."""
    rig.lay(yard)
    ended = run(rig.export(yard, "--overwrite", "--json"), yard, SECONDS, stop)
    if ended.hung or "Traceback" in ended.err or ended.wrote:
        raise Wrong(ended.fault())
    if stop.number == signal.SIGINT:
        check_interrupted(ended.code, ended.err, yard)
    found = state(rig, yard)
    check_left(yard)
    check_next(rig, yard)
    return found


def check_interrupted(code: int, said: str, yard: Yard) -> None:
    """Raise Wrong where an interrupted export does not say so, or leaves half of something."""
    if code not in (0, 130) or (code == 130 and said.splitlines()[-1] != "error: interrupted."):
        raise Wrong(f"it ended with {code} and said {said[-200:]!r}")
    if half := [path.name for path in yard.out.iterdir() if PARTS.fullmatch(path.name)]:
        raise Wrong(f"it left {half}")

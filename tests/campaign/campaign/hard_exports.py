"""Exports where something is missing, or somebody is in the way."""

import os
import signal
import time
from random import Random

from campaign.aftermath import Wrong, state
from campaign.exports import NEW, SECONDS
from campaign.kills import check_interrupted
from campaign.machine import Full, clock_back, drop_rights, limit_files, without_reader
from campaign.sandbox import Stop, run
from campaign.tally import Verdict
from campaign.world import World, refused, whole

DAY = 86_400.0


def export_on_a_full_disk(world: World, random: Random) -> Verdict:
    """Somewhere on the way nothing fits any more."""
    with Full(world.yard.out) as disk:
        world.rig.lay(world.yard, keep=True)
        disk.leave(random.randrange(9 << 20))
        ended = run(world.export(), world.yard, SECONDS)
        if ended.code:
            refused(ended, "full")
        return whole(world, disk.grow)


def export_with_short_files(world: World, random: Random) -> Verdict:
    """No file may be longer than so much."""
    most = random.choice([0, 1 << 10, 1 << 14, 1 << 17, 1 << 19, 1 << 21, 3_600_000, 4 << 20])
    ended = run(limit_files(world.export(), most), world.yard, SECONDS)
    if ended.code:
        refused(ended, "")
    return whole(world)


def export_where_nothing_may_be_written(world: World, random: Random) -> Verdict:
    """The folder beside the bundle is not ours to write to."""
    world.yard.out.chmod(0o555)
    ended = run(drop_rights(world.export()), world.yard, SECONDS)
    world.yard.out.chmod(0o755)
    refused(ended, "")
    return whole(world)


def export_as_the_clock_goes_back(world: World, random: Random) -> Verdict:
    """The old bundle is from tomorrow, and a day is lost in the middle."""
    for path in world.yard.out.rglob("*"):
        os.utime(path, (time.time() + DAY, time.time() + DAY))
    ended = run(clock_back(world.export(), random.randrange(200)), world.yard, SECONDS)
    if ended.code or ended.fault() or state(world.rig, world.yard) != NEW:
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]!r}")
    return whole(world)


def export_that_nobody_reads(world: World, random: Random) -> Verdict:
    """The other end of its pipe is closed."""
    ended = run(without_reader(world.export()), world.yard, SECONDS)
    if ended.hung or "Traceback" in ended.err or ended.code not in (0, 2):
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]!r}")
    return whole(world)


def export_that_is_interrupted(world: World, random: Random) -> Verdict:
    """Ctrl-C."""
    ended = run(world.export(), world.yard, SECONDS, Stop(random.uniform(0.1, 1.5), signal.SIGINT))
    check_interrupted(ended.code, ended.err, world.yard)
    return whole(world)


def two_exports_at_once(world: World, random: Random) -> Verdict:
    """The second ends at once, and the first as if there had been none."""
    first = os.fork()
    if not first:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            world.export()()
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        finally:
            os._exit(70)
    lock, end = world.yard.out / ".lira-bundle.lock", time.monotonic() + SECONDS
    while not lock.exists() and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    second = run(world.export(), world.yard)
    code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    refused(second, "another export is writing")
    if code:
        raise Wrong(f"the first export ended with {code}")
    return whole(world)

"""Exports and drawings where the disk is full, nothing may be written, the clock goes back, or nobody listens."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from campaign.aftermath import Wrong, check_left, check_next, state
from campaign.bundles import link_tree, put, signed_toy
from campaign.exports import NEW, SECONDS, Rig, make_rig
from campaign.kills import check_interrupted
from campaign.machine import Full, clock_back, drop_rights, limit_files, without_reader
from campaign.sandbox import Command, Ended, Stop, Yard, call, run
from campaign.tally import Tally, Verdict

DAY = 86_400.0


@dataclass(frozen=True)
class World:
    """What scenarios play in: exports of the rig, and drawings of the toy bundle."""

    rig: Rig
    toy: Path
    yard: Yard

    def export(self) -> Command:
        """Over the bundle that is there."""
        return self.rig.export(self.yard, "--overwrite")

    def draw(self, out: Path | None = None) -> Command:
        """With the toy bundle in the yard."""
        from lira_runtime.cli import main

        goal = out or self.yard.out / "a.png"
        return call(main, self.yard.bundle, "a cat", "--out", goal, "--steps", "2", "--threads", "1")

    def lay(self) -> None:
        """A fresh yard."""
        self.rig.lay(self.yard)
        link_tree(self.toy, self.yard.bundle)


Scenario = Callable[[World, Random], Verdict]


def _refused(ended: Ended, word: str) -> None:
    """Raise Wrong unless it was refused cleanly, with this word in its sentence."""
    if ended.fault() or ended.code != 2 or word not in ended.err:
        raise Wrong(f"{ended.fault()}; it ended with {ended.code}: {ended.err[-300:]!r}")


def _whole(world: World, room: Callable[[], object] = lambda: None) -> Verdict:
    """What an export left is right; with `room` made, the next one succeeds."""
    found = state(world.rig, world.yard)
    check_left(world.yard)
    room()
    check_next(world.rig, world.yard)
    return "accepted" if found == NEW else "refused"


def export_on_a_full_disk(world: World, random: Random) -> Verdict:
    """Somewhere on the way nothing fits any more."""
    with Full(world.yard.out) as disk:
        world.rig.lay(world.yard, keep=True)
        disk.leave(random.randrange(9 << 20))
        ended = run(world.export(), world.yard, SECONDS)
        if ended.code:
            _refused(ended, "full")
        return _whole(world, disk.grow)


def export_with_short_files(world: World, random: Random) -> Verdict:
    """No file may be longer than so much."""
    most = random.choice([0, 1 << 10, 1 << 14, 1 << 17, 1 << 19, 1 << 21, 3_600_000, 4 << 20])
    ended = run(limit_files(world.export(), most), world.yard, SECONDS)
    if ended.code:
        _refused(ended, "")
    return _whole(world)


def export_where_nothing_may_be_written(world: World, random: Random) -> Verdict:
    """The folder beside the bundle is not ours to write to."""
    world.yard.out.chmod(0o555)
    ended = run(drop_rights(world.export()), world.yard, SECONDS)
    world.yard.out.chmod(0o755)
    _refused(ended, "")
    return _whole(world)


def export_as_the_clock_goes_back(world: World, random: Random) -> Verdict:
    """The old bundle is from tomorrow, and a day is lost in the middle."""
    for path in world.yard.out.rglob("*"):
        os.utime(path, (time.time() + DAY, time.time() + DAY))
    ended = run(clock_back(world.export(), random.randrange(200)), world.yard, SECONDS)
    if ended.code or ended.fault() or state(world.rig, world.yard) != NEW:
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]!r}")
    return _whole(world)


def export_that_nobody_reads(world: World, random: Random) -> Verdict:
    """The other end of its pipe is closed."""
    ended = run(without_reader(world.export()), world.yard, SECONDS)
    if ended.hung or "Traceback" in ended.err or ended.code not in (0, 2):
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]!r}")
    return _whole(world)


def export_that_is_interrupted(world: World, random: Random) -> Verdict:
    """Ctrl-C."""
    ended = run(world.export(), world.yard, SECONDS, Stop(random.uniform(0.1, 1.5), signal.SIGINT))
    check_interrupted(ended.code, ended.err, world.yard)
    return _whole(world)


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
    _refused(second, "another export is writing")
    if code:
        raise Wrong(f"the first export ended with {code}")
    return _whole(world)


def drawing_on_a_full_disk(world: World, random: Random) -> Verdict:
    """There is no room for a picture."""
    with Full(world.yard.out) as disk:
        disk.leave(0)
        ended = run(world.draw(), world.yard)
        left = [path.name for path in world.yard.out.iterdir() if path.name != disk.filler]
    _refused(ended, "full")
    return _nothing(left)


def drawing_with_short_files(world: World, random: Random) -> Verdict:
    """No file may be longer than so much; a picture of the toy is, by far."""
    ended = run(limit_files(world.draw(), random.choice([0, 1, 100])), world.yard)
    _refused(ended, "")
    return _nothing([path.name for path in world.yard.out.glob("*.part")] + _pictures(world))


def drawing_where_nothing_may_be_written(world: World, random: Random) -> Verdict:
    """The folder for the picture is not ours to write to."""
    world.yard.out.chmod(0o555)
    ended = run(drop_rights(world.draw()), world.yard)
    world.yard.out.chmod(0o755)
    _refused(ended, "cannot be written to")
    return _nothing(_pictures(world))


def drawing_what_may_not_be_read(world: World, random: Random) -> Verdict:
    """A file of the bundle, or its folder, is not ours to read."""
    place = random.choice([*world.yard.bundle.iterdir(), world.yard.bundle])
    if place.is_file():
        put(place, place.read_bytes())
    place.chmod(0)
    ended = run(drop_rights(world.draw()), world.yard)
    place.chmod(0o755)
    if place.name == "manifest.json.sig" and ended.code == 0 and not ended.fault():
        return "accepted"  # nobody asked for the signature
    if ended.code not in (2, 5) or ended.fault():
        raise Wrong(f"{place.name}: {ended.fault()}; it ended with {ended.code}: {ended.err[-200:]!r}")
    return _nothing(_pictures(world))


def drawing_a_bundle_that_changed_as_the_clock_went_back(world: World, random: Random) -> Verdict:
    """It was drawn with, its files are remembered; one changes, and its times are put back."""
    if run(clock_back(world.draw(), 0, -DAY), world.yard).code:
        raise Wrong("a sound bundle was refused")
    path = random.choice([each for each in world.yard.bundle.iterdir() if each.suffix in (".onnx", ".data", ".f32")])
    before, data = path.stat(), bytearray(path.read_bytes())
    data[random.randrange(len(data))] ^= 1
    put(path, bytes(data))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (world.yard.out / "a.png").unlink()
    ended = run(clock_back(world.draw(), 0, DAY), world.yard)
    if ended.code != 5 or ended.fault():
        raise Wrong(f"it ended with {ended.code}: {ended.err[-200:]!r}")
    return _nothing(_pictures(world))


def drawing_that_nobody_reads(world: World, random: Random) -> Verdict:
    """The other end of its pipe is closed."""
    ended = run(without_reader(world.draw()), world.yard)
    if ended.hung or "Traceback" in ended.err or ended.code not in (0, 2):
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]!r}")
    return "accepted"


def drawing_that_is_interrupted(world: World, random: Random) -> Verdict:
    """Ctrl-C."""
    ended = run(world.draw(), world.yard, stop=Stop(random.uniform(0.02, 0.3), signal.SIGINT))
    if ended.hung or "Traceback" in ended.err or ended.code not in (0, 130):
        raise Wrong(f"it ended with {ended.code}: {ended.err[-300:]!r}")
    return _nothing([path.name for path in world.yard.out.glob(".lira-*.part") if path.is_file()])


def _pictures(world: World) -> list[str]:
    return [path.name for path in world.yard.out.glob("a.png")]


def _nothing(left: list[str]) -> Verdict:
    if left:
        raise Wrong(f"it left {left}")
    return "refused"


SCENARIOS: tuple[Scenario, ...] = (
    drawing_on_a_full_disk,
    drawing_with_short_files,
    drawing_where_nothing_may_be_written,
    drawing_what_may_not_be_read,
    drawing_a_bundle_that_changed_as_the_clock_went_back,
    drawing_that_nobody_reads,
    drawing_that_is_interrupted,
    export_on_a_full_disk,
    export_with_short_files,
    export_where_nothing_may_be_written,
    export_as_the_clock_goes_back,
    export_that_nobody_reads,
    export_that_is_interrupted,
    two_exports_at_once,
)


def circumstances(count: int, seed: int, only: int | None = None) -> Tally:
    """Every scenario in turn."""
    import lira_runtime.cli  # noqa: F401

    tally = Tally("hard circumstances")
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        toy, _ = signed_toy(Path(folder))
        world = World(make_rig(Path(folder) / "rig"), toy, Yard(Path(folder) / "yard"))
        for case in range(count) if only is None else [only]:
            scenario = SCENARIOS[case % len(SCENARIOS)]
            world.lay()
            try:
                tally.count(scenario(world, Random(f"{seed} circumstances {case}")))
            except Wrong as wrong:
                tally.blame(f"case {case}, {scenario.__name__}: {wrong}")
    return tally

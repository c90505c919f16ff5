"""Drawings where something is missing."""

import os
import signal
from random import Random

from campaign.aftermath import Wrong
from campaign.bundles import put
from campaign.machine import Full, clock_back, drop_rights, limit_files, without_reader
from campaign.sandbox import Stop, run
from campaign.tally import Verdict
from campaign.world import World, nothing, pictures, refused

DAY = 86_400.0


def drawing_on_a_full_disk(world: World, random: Random) -> Verdict:
    """There is no room for a picture."""
    with Full(world.yard.out) as disk:
        disk.leave(0)
        ended = run(world.draw(), world.yard)
        left = [path.name for path in world.yard.out.iterdir() if path.name != disk.filler]
    refused(ended, "full")
    return nothing(left)


def drawing_with_short_files(world: World, random: Random) -> Verdict:
    """No file may be longer than so much; a picture of the toy is, by far."""
    ended = run(limit_files(world.draw(), random.choice([0, 1, 100])), world.yard)
    refused(ended, "")
    return nothing([path.name for path in world.yard.out.glob("*.part")] + pictures(world))


def drawing_where_nothing_may_be_written(world: World, random: Random) -> Verdict:
    """The folder for the picture is not ours to write to."""
    world.yard.out.chmod(0o555)
    ended = run(drop_rights(world.draw()), world.yard)
    world.yard.out.chmod(0o755)
    refused(ended, "cannot be written to")
    return nothing(pictures(world))


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
    return nothing(pictures(world))


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
    return nothing(pictures(world))


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
    return nothing([path.name for path in world.yard.out.glob(".lira-*.part") if path.is_file()])

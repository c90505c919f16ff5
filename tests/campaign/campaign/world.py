"""Where hard circumstances are tried, and what must be there afterwards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from campaign.aftermath import Wrong, check_left, check_next, state
from campaign.bundles import link_tree
from campaign.exports import NEW, Rig
from campaign.sandbox import Command, Ended, call
from campaign.tally import Verdict
from campaign.yard import Yard


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


def refused(ended: Ended, word: str) -> None:
    """Raise Wrong unless it was refused cleanly, with this word in its sentence."""
    if ended.fault() or ended.code != 2 or word not in ended.err:
        raise Wrong(f"{ended.fault()}; it ended with {ended.code}: {ended.err[-300:]!r}")


def whole(world: World, room: Callable[[], object] = lambda: None) -> Verdict:
    """What an export left is right; with `room` made, the next one succeeds."""
    found = state(world.rig, world.yard)
    check_left(world.yard)
    room()
    check_next(world.rig, world.yard)
    return "accepted" if found == NEW else "refused"


def pictures(world: World) -> list[str]:
    return [path.name for path in world.yard.out.glob("a.png")]


def nothing(left: list[str]) -> Verdict:
    if left:
        raise Wrong(f"it left {left}")
    return "refused"

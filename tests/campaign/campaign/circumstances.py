"""Exports and drawings where the disk is full, nothing may be written, the clock goes back, or nobody listens."""

import tempfile
from pathlib import Path
from random import Random

from campaign import hard_drawings, hard_exports
from campaign.aftermath import Wrong
from campaign.bundles import signed_toy
from campaign.exports import make_rig
from campaign.machine import may_mount
from campaign.tally import Tally
from campaign.world import Scenario, World
from campaign.yard import Yard

SCENARIOS: tuple[Scenario, ...] = (
    hard_drawings.drawing_on_a_full_disk,
    hard_drawings.drawing_with_short_files,
    hard_drawings.drawing_where_nothing_may_be_written,
    hard_drawings.drawing_what_may_not_be_read,
    hard_drawings.drawing_a_bundle_that_changed_as_the_clock_went_back,
    hard_drawings.drawing_that_nobody_reads,
    hard_drawings.drawing_that_is_interrupted,
    hard_exports.export_on_a_full_disk,
    hard_exports.export_with_short_files,
    hard_exports.export_where_nothing_may_be_written,
    hard_exports.export_as_the_clock_goes_back,
    hard_exports.export_that_nobody_reads,
    hard_exports.export_that_is_interrupted,
    hard_exports.two_exports_at_once,
)
ON_A_FULL_DISK = (hard_drawings.drawing_on_a_full_disk, hard_exports.export_on_a_full_disk)


def circumstances(count: int, seed: int, only: int | None = None) -> Tally:
    """Every scenario in turn."""
    import lira_runtime.cli  # noqa: F401

    tally, scenarios = Tally("hard circumstances"), SCENARIOS
    if not may_mount():
        scenarios = tuple(each for each in SCENARIOS if each not in ON_A_FULL_DISK)
        tally.notes.append("full disks were not tried: that takes the right to mount one")
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        toy, _ = signed_toy(Path(folder))
        world = World(make_rig(Path(folder) / "rig"), toy, Yard(Path(folder) / "yard"))
        for case in range(count) if only is None else [only]:
            scenario = scenarios[case % len(scenarios)]
            world.lay()
            try:
                tally.count(scenario(world, Random(f"{seed} circumstances {case}")))
            except Wrong as wrong:
                tally.blame(f"case {case}, {scenario.__name__}: {wrong}")
    return tally

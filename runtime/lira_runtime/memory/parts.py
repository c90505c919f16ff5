"""What a stage's memory is made of, at its highest moment while it loads and at its highest while it runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from lira_runtime.memory.child import FIRST_RUN, IMPORT, LOAD, STEADY_RUN
from lira_runtime.memory.watch import Watched


@dataclass(frozen=True)
class Parts:
    """What was in memory at one moment, in bytes: none is below 0, and they add up to the peak of that moment.

    idle: the process after its imports, as far as it is still there: pages of files count here up to as many as it had,
    and less than that where it gave some back. loaded: anonymous memory that loading leaves: packed weights, and what
    the engine keeps beside them. mapped: further pages of files: mapped weights, and the engine's code, which comes in
    with the first graph. working: all the rest, taken for a while: buffers of the loading, or activations of a run.
    """

    idle: int
    loaded: int
    mapped: int
    working: int

    @property
    def peak(self) -> int:
        """Resident bytes of the process at that moment."""
        return self.idle + self.loaded + self.mapped + self.working


@dataclass(frozen=True)
class StageParts:
    """Of one stage; the greater of the two peaks is the stage's. running: the first run and those after it."""

    loading: Parts
    running: Parts

    @classmethod
    def of(cls, stage: Watched) -> Self:
        """Tell them from the phases of a stage's process."""
        return cls(_at_peak(stage, (LOAD,)), _at_peak(stage, (FIRST_RUN, STEADY_RUN)))

    def moments(self) -> Iterator[tuple[str, Parts]]:
        """Each moment with the word for it."""
        yield "loading", self.loading
        yield "running", self.running


def _at_peak(stage: Watched, names: tuple[str, ...]) -> Parts:
    """Parts of the highest moment within the phases called `names`, which follow one another.

    The peak is the kernel's, what it is made of the highest reading's: what no sample saw is working memory.
    """
    phases = [stage.phase(name) for name in names]
    seen = [sample.reading for sample in stage.samples if sample.within(phases[0].begin, phases[-1].end)]
    highest = max([*seen, *(phase.after for phase in phases)], key=lambda reading: reading.resident)
    idle, left = stage.phase(IMPORT).after, stage.phase(LOAD).after.anonymous
    still = min(highest.anonymous, idle.anonymous) + min(highest.file_backed, idle.file_backed)
    loaded = max(min(highest.anonymous, left) - idle.anonymous, 0)
    mapped = max(highest.file_backed - idle.file_backed, 0)
    peak = max(phase.peak for phase in phases)
    return Parts(still, loaded, mapped, peak - still - loaded - mapped)

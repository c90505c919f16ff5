"""Memory of a bundle by stage: the whole pipeline in one process, then each stage in a process of its own."""

from dataclasses import dataclass

import msgspec

from lira_runtime.bundle import Bundle
from lira_runtime.interface import COMPONENTS, IMAGE_ENCODER, TEXT_ENCODER
from lira_runtime.manifest import WeightsMode
from lira_runtime.memory.child import START, Order
from lira_runtime.memory.watch import Watched, watch_order
from lira_runtime.progress import Progress
from lira_runtime.prompt import check_prompt

STAGES = (TEXT_ENCODER, IMAGE_ENCODER, *COMPONENTS[1:])
"""In the order in which they run."""
PIPELINE = "pipeline"
STEADY_RUNS = 2


@dataclass(frozen=True)
class Asked:
    """resolution in px, one of the bundle's; threads: 0 chooses; weights: how they are loaded.

    keep_loaded: whether the pipeline keeps every component in memory until its end. verified: whether it looks at the
    SHA-256 of files, as `lira-generate` does.
    """

    prompt: str
    resolution: int
    threads: int
    steps: int
    weights: WeightsMode
    keep_loaded: bool = False
    verified: bool = True


@dataclass(frozen=True)
class Profile:
    """What was measured of a bundle; pipeline: None where a partial bundle has none."""

    bundle: Bundle
    asked: Asked
    stages: tuple[Watched, ...]
    pipeline: Watched | None

    @property
    def watched(self) -> tuple[Watched, ...]:
        """Every process, the pipeline's first."""
        return (*([] if self.pipeline is None else [self.pipeline]), *self.stages)

    @property
    def peak(self) -> int:
        """The greatest resident size of any of the processes, in bytes."""
        return max(each.peak for each in self.watched)

    def peaks(self) -> dict[str, int]:
        """Bytes by stage: the greatest of the stage's own process and of its part of the pipeline."""
        found = {stage.name: stage.peak for stage in self.stages}
        for phase in self.pipeline.phases if self.pipeline else ():
            found[phase.name] = max(phase.peak, found.get(phase.name, 0))
        return found

    @property
    def idle_and_predicted(self) -> tuple[int, int] | None:
        """The pipeline's process before its first stage, measured, and the most predicted of a stage, in bytes.

        Their sum is near the peak of stages in turn and no prediction of it: a manifest says neither what an idle
        process takes, nor what it takes for a moment at the start, nor what stays of the stages before.
        """
        stages = [self.predicted(stage.name) for stage in self.stages]
        if self.pipeline is None or None in stages or self.asked.keep_loaded:
            return None
        return self.pipeline.phase(START).after.resident, max(size for size in stages if size is not None)

    def predicted(self, stage: str) -> int | None:
        """Peak over an idle process in bytes, as the manifest predicts it; None where it does not.

        It predicts the bundle's own way of loading weights alone.
        """
        memory = self.bundle.graph(stage, self.asked.resolution).memory
        if memory is None or self.asked.weights != self.bundle.manifest.weights:
            return None
        return memory.predicted_bytes


def profile(bundle: Bundle, asked: Asked, progress: Progress) -> Profile:
    """Measure the pipeline, where the bundle is whole, and all stages; one unit of progress for each process.

    Raises BadInput for a prompt that is empty or no Unicode before it starts one, and what the processes run into: one
    of them finds a prompt too long, since a tokenizer here would count as theirs (`Watched.maxrss`).
    """
    names = processes(bundle)
    if PIPELINE in names:
        check_prompt(asked.prompt)
    measured = {}
    for done, name in enumerate(names):
        progress.update(done, shown(name))
        measured[name] = measure(bundle, asked, name)
    progress.update(len(names))
    return Profile(bundle, asked, tuple(measured[name] for name in names if name != PIPELINE), measured.get(PIPELINE))


def processes(bundle: Bundle) -> tuple[str, ...]:
    """What `profile` measures, in that order: the pipeline and every stage, or the stages of a partial bundle."""
    stages = tuple(stage for stage in STAGES if bundle.holds(stage))
    return stages if bundle.manifest.partial else (PIPELINE, *stages)


def measure(bundle: Bundle, asked: Asked, name: str) -> Watched:
    """Measure one stage, or the pipeline, in a fresh process.

    Weights that are not packed at every load are packed at the first load of all, which is not the one to measure:
    another process loads them before.
    """
    if asked.weights != "packed":
        for stage in COMPONENTS if name == PIPELINE else (name,):
            watch_order(stage, _stage_order(bundle, asked, stage, runs=None))
    if name == PIPELINE:
        return watch_order(name, _pipeline_order(bundle, asked))
    return watch_order(name, _stage_order(bundle, asked, name, STEADY_RUNS))


def shown(name: str) -> str:
    """The name of a process or a stage as a sentence has it."""
    return "whole pipeline" if name == PIPELINE else name.replace("_", " ")


def _stage_order(bundle: Bundle, asked: Asked, stage: str, runs: int | None) -> Order:
    return Order(
        bundle=str(bundle.path),
        weights=asked.weights,
        threads=asked.threads,
        stage=stage,
        target=bundle.manifest.target,
        graph=msgspec.json.encode(bundle.graph(stage, asked.resolution)).decode(),
        runs=runs,
    )


def _pipeline_order(bundle: Bundle, asked: Asked) -> Order:
    return Order(
        bundle=str(bundle.path),
        weights=asked.weights,
        threads=asked.threads,
        resolution=asked.resolution,
        prompt=asked.prompt,
        steps=asked.steps,
        keep_loaded=asked.keep_loaded,
        hashes="known" if asked.verified else "skip",
    )

"""The process that draws: one engine alone, so that seconds and memory are its own.

`python -m lira_export.compare.draw FOLDER` reads the `Job` in FOLDER's `JOB`, prints `STEP` after each denoising
step, and leaves in FOLDER one drawing for each prompt (0.npz, 1.npz, ... with x0 and image) and the `Record` in
`RECORD`.
"""

import sys
from pathlib import Path

import msgspec
import numpy as np

from lira_export.compare.columns import engine_of
from lira_export.drawing import draw
from lira_runtime.bundle import Bundle
from lira_runtime.errors import cli_guard
from lira_runtime.memory.meter import release, resident_bytes
from lira_runtime.orphan import end_with_parent
from lira_runtime.pipeline import Pipeline, Request, StageFinished

JOB, RECORD, STEP = "job.json", "record.json", "step"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What every column draws: all settings are said, so that a bundle's own defaults do not matter.

    resolution: px. threads: 0 leaves an engine its own choice.
    """

    prompts: tuple[str, ...]
    seed: int
    steps: int
    guidance: float
    method: str
    shift: float
    resolution: int
    threads: int

    def request(self, prompt: str) -> Request:
        """One of the prompts."""
        return Request(prompt, self.seed, self.steps, self.guidance, self.method, self.shift)


class Job(msgspec.Struct, frozen=True):
    """Who draws, and what; the fields are those of `Column`."""

    bundle: str
    eager: bool
    checkpoint: str | None
    asked: Asked


class Record(msgspec.Struct, frozen=True):
    """idle_bytes: resident before anything was loaded. stages: of each drawing, as they ended."""

    idle_bytes: int
    stages: tuple[tuple[StageFinished, ...], ...]


def open_pipeline(job: Job) -> Pipeline:
    """The pipeline that a job asks for. Raises BadInput where there is none."""
    bundle = Bundle.open(job.bundle)
    uses_torch = job.eager or bundle.manifest.target == "coreml"
    if uses_torch and job.asked.threads:
        import torch

        torch.set_num_threads(job.asked.threads)
    if not job.eager:
        return Pipeline(bundle, engine_of(bundle.manifest.target, job.asked.threads), job.asked.resolution, True)
    from lira_export.compare.origin import models_of
    from lira_export.eager import eager_pipeline

    return eager_pipeline(
        bundle, models_of(bundle, None if job.checkpoint is None else Path(job.checkpoint)), job.asked.resolution
    )


def main() -> None:
    """Draw all prompts of the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    job = msgspec.json.decode((folder / JOB).read_bytes(), type=Job)
    pipeline = open_pipeline(job)
    release()
    idle, stages = resident_bytes(), []
    for index, prompt in enumerate(job.asked.prompts):
        drawing = draw(pipeline, job.asked.request(prompt), on_step=lambda: print(STEP, flush=True))
        np.savez(folder / f"{index}.npz", x0=np.stack(drawing.x0), image=drawing.image)
        stages.append(drawing.stages)
    (folder / RECORD).write_bytes(msgspec.json.encode(Record(idle, tuple(stages))))


if __name__ == "__main__":
    end_with_parent()
    cli_guard(main)()

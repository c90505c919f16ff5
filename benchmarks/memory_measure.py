"""What the memory scripts measure: a bundle's whole pipeline, or each stage, in fresh processes; kept as JSON lines."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Self, TypeVar

import msgspec
import torch

from lira.sources import Request, load_models
from lira_export.loaded import run_stage
from lira_runtime.bundle import Bundle
from lira_runtime.cache import CACHE_VARIABLE
from lira_runtime.interface import COMPONENTS
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import TargetName, WeightsMode
from lira_runtime.memory.profile import PIPELINE, Asked, measure
from lira_runtime.progress import Progress
from memory_bundle import write_bundles

PROMPT = "a red apple on a blue background"
STEPS = 1
"""With guidance: two passes of the denoiser, the second in the workspace of the first."""
USUAL_TEXT_ENCODER = "vit-l-14"


@dataclass(frozen=True)
class Case:
    """One bundle; resolution in px."""

    target: TargetName
    preset: str
    latent: str
    resolution: int
    recipe: str
    weights: WeightsMode = "packed"
    text_encoder: str = USUAL_TEXT_ENCODER
    keep_loaded: bool = False

    def asked(self) -> Asked:
        """How it is run: threads as the engine chooses."""
        return Asked(
            prompt=PROMPT,
            resolution=self.resolution,
            threads=0,
            steps=STEPS,
            weights=self.weights,
            keep_loaded=self.keep_loaded,
        )


@dataclass(frozen=True)
class PipelineResult:
    """Resident bytes of a whole pipeline: its peak, that of each phase, and before the first stage.

    files: bytes on disk of each component.
    """

    case: Case
    peak: int
    phases: dict[str, int]
    idle: int
    files: dict[str, int]

    @classmethod
    def of(cls, case: Case, folder: Path) -> list[Self]:
        """Run it in a fresh process."""
        bundle = Bundle.open(folder)
        watched = measure(bundle, case.asked(), PIPELINE)
        phases = {phase.name: phase.peak for phase in watched.phases}
        files = {part.name: sum(file.bytes for file in part.files) for part in bundle.manifest.components}
        return [cls(case, watched.peak, phases, watched.phases[0].after.resident, files)]


@dataclass(frozen=True)
class StageResult:
    """One stage alone."""

    case: Case
    stage: str
    run: StageRun

    @classmethod
    def of(cls, case: Case, folder: Path) -> list[Self]:
        """Run each stage in a fresh process."""
        bundle, results = Bundle.open(folder), []
        for stage in COMPONENTS:
            run = run_stage(case.target, bundle.graph(stage), folder, case.weights)
            assert run is not None, "every target that is measured runs here"
            results.append(cls(case, stage, run))
        return results


Result = TypeVar("Result", PipelineResult, StageResult)


def read_results(kind: type[Result], path: Path) -> list[Result]:
    """What was measured before."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=kind) for line in lines]


def measure_cases(kind: type[Result], cases: Sequence[Case], results: Path, progress: Progress) -> None:
    """Measure the cases that `results` lacks and append them to it; bundles of one trace lie beside it meanwhile."""
    done = {result.case for result in read_results(kind, results)}
    missing = [case for case in cases if case not in done]
    scratch = results.with_suffix(".scratch")
    os.environ[CACHE_VARIABLE] = str(scratch / "cache")
    progress.update(len(cases) - len(missing))
    for _, group in groupby(missing, lambda case: (case.preset, case.latent, case.resolution, case.text_encoder)):
        members = list(group)
        folders = _write(members, scratch)
        for case in members:
            found = kind.of(case, folders[case.recipe])
            with open(results, "ab") as file:
                file.writelines(msgspec.json.encode(result) + b"\n" for result in found)
            progress.advance(note=" ".join(map(str, asdict(case).values())))
        for folder in (*folders.values(), scratch / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _write(cases: Sequence[Case], scratch: Path) -> dict[str, Path]:
    first, recipes = cases[0], tuple(dict.fromkeys(case.recipe for case in cases))
    models = load_models(Request(first.preset, first.latent, first.resolution, first.text_encoder))
    for name, parameter in models.denoiser.named_parameters():
        if name.endswith(".skip"):  # training starts with zeros, which a converter would fold, the skip with them
            torch.nn.init.ones_(parameter)
    return write_bundles(first.target, models, first.resolution, recipes, scratch)

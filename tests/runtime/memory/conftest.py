"""A profile that is made up, so that every figure of it is known."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lira_runtime.manifest import Memory
from lira_runtime.memory.profile import Asked, Profile
from lira_runtime.memory.reading import Reading
from lira_runtime.memory.watch import Phase, Sample, Watched

MB = 1_000_000
IDLE, START = 50, 90
PACKED = {"text_encoder": 80, "denoiser": 150, "decoder": 5}
RUNS = {"text_encoder": 10, "denoiser": 90, "decoder": 40}
"""MB: each stage alone peaks at IDLE + PACKED + RUNS, within the pipeline 30 higher."""
FILE = 30


def _reading(resident: int) -> Reading:
    return Reading(resident * MB, (resident - FILE) * MB, FILE * MB, resident * MB)


def _process(name: str, phases: list[tuple[str, int, int]]) -> Watched:
    """phases: name, MB at its end, MB of its peak; each takes a second, with its peak in the middle."""
    found, samples = [], [Sample(0.0, 0.0, _reading(FILE))]
    for second, (phase, after, peak) in enumerate(phases):
        found.append(Phase(phase, second, second + 1, _reading(after), peak * MB, "kernel"))
        samples += [
            Sample(second + 0.5, second + 0.5, _reading(peak)),
            Sample(second + 0.999, second + 0.999, _reading(after)),
        ]
    return Watched(name, tuple(found), tuple(samples), max(peak for _, _, peak in phases) * MB, None)


def _stage(name: str) -> Watched:
    loaded, peak = IDLE + PACKED[name], IDLE + PACKED[name] + RUNS[name]
    runs = [("first run", peak, peak), ("steady run", peak, peak)]
    return _process(name, [("import", IDLE, IDLE), ("load", loaded, loaded), *runs, ("unload", 60, peak)])


def _pipeline() -> Watched:
    peaks = {"start": START, **{name: IDLE + PACKED[name] + RUNS[name] + 30 for name in PACKED}}
    return _process("pipeline", [(name, START, peak) for name, peak in peaks.items()])


def _profile(
    recipe: str = "int8",
    target: str = "onnx",
    resolutions: tuple[int, ...] = (1024,),
    partial: bool = False,
    preset: str = "toy",
    predicted: dict[str, int] | None = None,
    weighing: int | None = 0,
    own: str = "packed",
    **asked: Any,
) -> Profile:
    """predicted: MB by stage; weighing: MB of a stage's weights by the manifest, 0 as packed; own: its loading mode."""
    stages = {"decoder": 123} if predicted is None else predicted
    weights = {name: None if weighing is None else (weighing or size) * MB for name, size in PACKED.items()}
    manifest = SimpleNamespace(
        target=target,
        resolutions=resolutions,
        weights=own,
        preset=preset,
        latent=SimpleNamespace(name="f8c16"),
        sampler=SimpleNamespace(steps=20),
    )
    bundle: Any = SimpleNamespace(
        path=Path("a <bundle>"),
        digest="0" * 64,
        manifest=manifest,
        holds=lambda name: name in PACKED,
        component=lambda name: SimpleNamespace(recipe=recipe, files=[SimpleNamespace(bytes=PACKED[name] * MB)]),
        graph=lambda name, side: SimpleNamespace(
            memory=Memory(predicted_bytes=stages[name] * MB if name in stages else None, weights_bytes=weights[name])
        ),
    )
    settings = dataclasses.replace(Asked("apple", 1024, 2, 2, "packed"), **asked)
    return Profile(bundle, settings, tuple(map(_stage, PACKED)), None if partial else _pipeline())


@pytest.fixture
def made_up() -> Callable[..., Profile]:
    """Of a text encoder of 80 + 10 MB (weights, activations), a denoiser of 150 + 90, a decoder of 5 + 40, idle 50."""
    return _profile

"""Profiles of a toy bundle: its graphs weigh nothing, its pictures of 1024 px do."""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.manifest import WeightsMode
from lira_runtime.memory import profile as memory_profile
from lira_runtime.memory.child import Order
from lira_runtime.memory.parts import StageParts
from lira_runtime.memory.profile import Asked, Profile, measure, processes, profile
from lira_runtime.memory.watch import Watched, watch
from lira_runtime.progress import Progress

TIME = shutil.which("time")
STAGES = ("text_encoder", "denoiser", "decoder")
MB = 1_000_000
SIDE = 1024

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def asked(resolution: int = 16, **changes: object) -> Asked:
    return Asked("a red apple", resolution, 1, 2, "packed", **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from toy_bundle import write_toy_bundle

    goal = tmp_path_factory.mktemp("profile") / "bundle"
    write_toy_bundle(goal, resolutions=(16, SIDE))
    return Bundle.open(goal)


@pytest.fixture(scope="module")
def measured(bundle: Bundle) -> Profile:
    with Progress(4, "profiling", json=True) as progress:
        found = profile(bundle, asked(), progress)
        assert progress.done == 4
    return found


@pytest.fixture(scope="module")
def large_pipeline(bundle: Bundle) -> Watched:
    return measure(bundle, asked(SIDE), "pipeline")


def test_each_stage_goes_through_its_phases_and_the_pipeline_through_its_stages(measured: Profile) -> None:
    assert measured.pipeline is not None
    assert [phase.name for phase in measured.pipeline.phases] == ["start", *STAGES]
    assert [stage.name for stage in measured.stages] == list(STAGES)
    for stage in measured.stages:
        assert [phase.name for phase in stage.phases] == ["import", "load", "first run", "steady run", "unload"]
        assert all(phase.source == "kernel" for phase in stage.phases)
        assert stage.phase("load").after.resident > stage.phase("import").after.resident


def test_a_stages_process_imports_no_more_than_its_engine_and_the_pipelines_no_more_than_an_app(bundle: Bundle) -> None:
    graph = msgspec.json.encode(bundle.graph("decoder", 16)).decode()
    order = Order(str(bundle.path), "packed", 1, stage="decoder", target="onnx", graph=graph, runs=0)
    stage = imported_by(order)
    assert "onnxruntime" in stage and "numpy" in stage
    assert not stage & {"PIL", "tokenizers", "lira_runtime.pipeline", "lira_runtime.bundle", "matplotlib", "torch"}
    pipeline = imported_by(Order(str(bundle.path), "packed", 1, resolution=16, prompt="apple", steps=1))
    assert {"onnxruntime", "tokenizers", "lira_runtime.pipeline"} <= pipeline
    assert not pipeline & {"matplotlib", "torch", "onnx", "lira_runtime.memory.profile", "lira_runtime.memory.watch"}


def imported_by(order: Order) -> set[str]:
    command = [sys.executable, "-X", "importtime", "-m", "lira_runtime.memory.child", order.to_json()]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}


@pytest.mark.skipif(TIME is None, reason="there is no time program (Debian's package time)")
def test_the_pipelines_peak_is_that_of_the_time_program_within_2_percent(bundle: Bundle, tmp_path: Path) -> None:
    """One process, whose own word on its phases is watched while the time program waits for its end."""
    order = Order(str(bundle.path), "packed", 1, resolution=SIDE, prompt="a red apple", steps=2)
    child = [sys.executable, "-m", "lira_runtime.memory.child", order.to_json()]
    assert TIME is not None
    pipeline = watch("pipeline", [TIME, "-v", "-o", str(tmp_path / "time"), *child])
    found = re.search(r"Maximum resident set size \(kbytes\): (\d+)", (tmp_path / "time").read_text())
    assert found is not None
    assert pipeline.peak == max(phase.peak for phase in pipeline.phases), "the samples are the time program's"
    assert pipeline.peak == pytest.approx(int(found[1]) * 1024, rel=0.02)


def test_activations_grow_with_the_picture(bundle: Bundle, measured: Profile) -> None:
    """The decoder's result alone is 3 x 1024 x 1024 float32, and it was made from another tensor of that size."""
    small, large = measured.stages[-1], measure(bundle, asked(SIDE), "decoder")
    picture = 3 * SIDE * SIDE * 4
    more = StageParts.of(large).running.working - StageParts.of(small).running.working
    assert 2 * picture <= more < 8 * picture


def test_what_is_kept_loaded_is_still_there_at_the_end(bundle: Bundle, large_pipeline: Watched) -> None:
    """The denoiser's workspace holds more than one latent of 4 x 512 x 512 float32."""
    kept = measure(bundle, asked(SIDE, keep_loaded=True), "pipeline")
    latent = 4 * 512 * 512 * 4
    assert kept.phase("denoiser").after.resident > large_pipeline.phase("denoiser").after.resident + latent


@pytest.mark.parametrize(
    ("weights", "name", "orders"),
    [
        ("packed", "denoiser", [("denoiser", 2)]),
        ("mapped", "denoiser", [("denoiser", None), ("denoiser", 2)]),
        ("streamed", "pipeline", [*((stage, None) for stage in STAGES), ("", None)]),
    ],
)
def test_a_load_that_packs_into_the_cache_is_not_the_one_that_is_measured(
    weights: WeightsMode,
    name: str,
    orders: list[tuple[str, int | None]],
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Order] = []
    monkeypatch.setattr(memory_profile, "watch_order", lambda name, order: given.append(order) or len(given))
    assert measure(bundle, dataclasses.replace(asked(), weights=weights), name) == len(orders)
    assert [(order.stage, order.runs) for order in given] == orders
    assert {order.weights for order in given} == {weights}


def test_a_prompt_that_is_too_long_is_refused_in_the_pipelines_words(bundle: Bundle) -> None:
    with pytest.raises(BadInput, match="longer than the 75 tokens"):
        measure(bundle, Asked("apple " * 100, 16, 1, 2, "packed"), "pipeline")


def test_an_image_encoder_is_a_stage_that_the_pipeline_of_a_prompt_does_not_run(tmp_path: Path) -> None:
    from toy_bundle import write_toy_bundle

    write_toy_bundle(tmp_path / "bundle", with_encoder=True)
    every = processes(Bundle.open(tmp_path / "bundle"))
    assert every == ("pipeline", "text_encoder", "image_encoder", "denoiser", "decoder")

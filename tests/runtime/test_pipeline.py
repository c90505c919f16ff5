"""The toy bundle's answer is known: toy_reference.py computes it once more, in NumPy."""

import gc
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from toy_bundle import CHANNELS, D_TEXT, GUIDANCE, METHOD, SCALE, SHIFT, STEPS, write_toy_bundle
from toy_reference import assert_exact_pixels, toy_image, toy_steps

from lira_runtime import manifest
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, DamagedBundle, ParityLost
from lira_runtime.image import to_pixels
from lira_runtime.interface import interface
from lira_runtime.manifest import Graph
from lira_runtime.pipeline import (
    DenoisingStep,
    ImageReady,
    Pipeline,
    PromptCut,
    Request,
    StageFinished,
    StageStarted,
)

STAGES = ["text_encoder", "denoiser", "decoder"]


def test_what_a_prompt_of_one_long_word_would_lose_is_quoted(toy_bundle: Path) -> None:
    with pytest.raises(BadInput, match=r"would lose 'x{60}\.\.\.'"):
        Pipeline(Bundle.open(toy_bundle)).generate(Request("x" * 100_000))


def test_a_manifest_that_lies_about_sizes_gets_no_memory_for_them(
    toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in it agrees on pictures of 40,000 px, but the denoiser does not: it comes before 6 GB of noise."""
    whole, side = manifest.load(toy_bundle), 40_000
    tensors = interface((1, CHANNELS, side // SCALE, side // SCALE), SCALE, D_TEXT)
    components = tuple(
        msgspec.structs.replace(
            part,
            graphs=tuple(
                msgspec.structs.replace(
                    graph,
                    inputs=tensors[part.name][0],
                    outputs=tensors[part.name][1],
                    resolution=graph.resolution and side,
                    golden=None,
                )
                for graph in part.graphs
            ),
        )
        for part in whole.components
    )
    manifest.save(msgspec.structs.replace(whole, resolutions=(side,), components=components), toy_bundle)
    monkeypatch.setattr("lira_runtime.pipeline.initial_noise", lambda seed, shape: pytest.fail(f"noise of {shape}"))
    with pytest.raises(DamagedBundle, match="inputs of the graph denoiser.onnx are not those"):
        list(Pipeline(Bundle.open(toy_bundle)).generate(Request("a cat", steps=1)))


class Recording:
    """The real backend, with a diary."""

    def __init__(self) -> None:
        self.inner = OnnxBackend()
        self.diary: list[str] = []

    def load(self, graph: Graph, directory: Path) -> None:
        self.diary.append(f"load {graph.path.removesuffix('.onnx')}")
        self.inner.load(graph, directory)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.diary.append("run")
        return self.inner.run(inputs)

    def unload(self) -> None:
        self.diary.append("unload")
        self.inner.unload()


def final(pipeline: Pipeline, request: Request) -> ImageReady:
    *_, last = pipeline.generate(request)
    assert isinstance(last, ImageReady)
    return last


@pytest.mark.parametrize("method", ["dpm", "euler"])
@pytest.mark.parametrize(("guidance", "seed", "steps"), [(1.0, 0, 4), (3.0, 7, 6), (0.0, 2**64 - 1, 2)])
def test_latent_and_pixels_are_those_of_the_toy_written_in_numpy(
    toy_bundle: Path, method: str, guidance: float, seed: int, steps: int
) -> None:
    pipeline = Pipeline(Bundle.open(toy_bundle))
    for prompt in ("a red apple", "a dog and a cat in a garden"):
        result = final(pipeline, Request(prompt, seed, steps, guidance, method))
        _, latent = toy_steps(prompt, seed, steps, guidance, method)
        assert (result.latent.dtype, result.image.dtype) == (np.float32, np.uint8)
        np.testing.assert_allclose(result.latent, latent, rtol=0, atol=2e-5)
        assert_exact_pixels(result.image, toy_image(latent))


def test_what_a_request_leaves_open_is_the_bundles_own_default(toy_bundle: Path) -> None:
    result = final(Pipeline(Bundle.open(toy_bundle)), Request("a cat"))
    np.testing.assert_allclose(result.latent, toy_steps("a cat", 0, STEPS, GUIDANCE, METHOD, SHIFT)[1], atol=2e-5)


def test_a_requests_own_shift_is_used(toy_bundle: Path) -> None:
    result = final(Pipeline(Bundle.open(toy_bundle)), Request("a cat", steps=4, guidance=2.0, shift=1.5))
    np.testing.assert_allclose(result.latent, toy_steps("a cat", 0, 4, 2.0, METHOD, 1.5)[1], rtol=0, atol=2e-5)


def test_a_bundle_of_several_resolutions_draws_at_the_one_asked_for(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path / "bundle", resolutions=(16, 24))
    bundle = Bundle.open(tmp_path / "bundle")
    for asked, side in ((None, 16), (24, 24)):
        result = final(Pipeline(bundle, resolution=asked), Request("a cat", 7, 4, 2.0, "dpm"))
        _, latent = toy_steps("a cat", 7, 4, 2.0, "dpm", side=side)
        assert result.image.shape == (side, side, 3)
        np.testing.assert_allclose(result.latent, latent, rtol=0, atol=2e-5)
        assert_exact_pixels(result.image, toy_image(latent))
    backend = Recording()
    final(Pipeline(bundle, backend, resolution=24), Request("a cat", steps=1))
    assert [line for line in backend.diary if "load " in line] == [
        "load text_encoder",
        "load denoiser-24",
        "load decoder-24",
    ]
    with pytest.raises(BadInput, match="draws at 16, 24 px, not at 32"):
        Pipeline(bundle, resolution=32)


def test_each_steps_preview_is_the_samplers(toy_bundle: Path) -> None:
    events = Pipeline(Bundle.open(toy_bundle)).generate(Request("a cat", 5, 4, 2.0, "dpm"))
    seen = [e for e in events if isinstance(e, DenoisingStep)]
    expected, _ = toy_steps("a cat", 5, 4, 2.0, "dpm")
    assert [(e.index, e.sigma) for e in seen] == [(s.index, s.sigma) for s in expected]
    for event, step in zip(seen, expected, strict=True):
        np.testing.assert_allclose(event.x0, step.x0, rtol=0, atol=2e-5)


def test_each_graph_is_loaded_once_run_and_unloaded_before_the_next(toy_bundle: Path) -> None:
    backend = Recording()
    final(Pipeline(Bundle.open(toy_bundle), backend), Request("a cat", steps=3, guidance=2.0))
    assert backend.diary == [
        *("load text_encoder", "run", "unload"),
        *("load denoiser", *["run"] * 6, "unload"),
        *("load decoder", "run", "unload"),
    ]


def test_nothing_of_an_engine_outlives_its_stage(toy_bundle: Path) -> None:
    class Watching(Recording):
        """Remembers outputs weakly: one that lives keeps the workspace of its session."""

        def __init__(self) -> None:
            super().__init__()
            self.made: list[weakref.ref[Any]] = []
            self.alive: list[int] = []

        def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
            outputs = super().run(inputs)
            self.made += [weakref.ref(value) for value in outputs.values()]
            return outputs

        def load(self, graph: Graph, directory: Path) -> None:
            gc.collect()
            self.alive.append(sum(each() is not None for each in self.made))
            super().load(graph, directory)

    backend = Watching()
    final(Pipeline(Bundle.open(toy_bundle), backend), Request("a cat", steps=3, guidance=2.0))
    assert len(backend.made) == 1 + 6 * 2 + 1 and backend.alive == [0, 0, 0]


def test_without_guidance_a_step_runs_the_denoiser_once(toy_bundle: Path) -> None:
    backend = Recording()
    final(Pipeline(Bundle.open(toy_bundle), backend), Request("a cat", steps=3, guidance=1.0))
    assert backend.diary.count("run") == 1 + 3 + 1


@pytest.mark.parametrize("height", [1, 31, 32, 70])
def test_pixels_are_the_nearest_levels_of_every_row(height: int) -> None:
    image = np.random.default_rng(0).uniform(-0.5, 1.5, (1, 3, height, 9)).astype(np.float32)
    assert_exact_pixels(to_pixels(image), image[0].transpose(1, 2, 0).astype(np.float64))


def test_events_tell_the_whole_story_in_order(toy_bundle: Path) -> None:
    events = list(Pipeline(Bundle.open(toy_bundle)).generate(Request("a cat")))
    assert [e.stage for e in events if isinstance(e, StageStarted)] == STAGES
    finished = [e for e in events if isinstance(e, StageFinished)]
    assert [e.stage for e in finished] == STAGES
    assert all(e.seconds > 0 and e.peak_bytes > 10 << 20 for e in finished)
    steps = [e for e in events if isinstance(e, DenoisingStep)]
    assert [e.index for e in steps] == [0, 1, 2, 3]  # the bundle's own default
    assert {e.total for e in steps} == {4}
    assert {e.reasoning_steps for e in steps} == {3}
    assert steps[0].sigma == 1.0
    assert isinstance(events[-1], ImageReady)


def test_closing_the_generator_stops_the_work_and_unloads(toy_bundle: Path) -> None:
    backend = Recording()
    events = Pipeline(Bundle.open(toy_bundle), backend).generate(Request("a cat", steps=500))
    for event in events:
        if isinstance(event, DenoisingStep):
            break
    del events, event
    assert backend.diary == ["load text_encoder", "run", "unload", "load denoiser", "run", "unload"]


def test_the_same_seed_gives_the_same_preview_and_another_does_not(toy_bundle: Path) -> None:
    def first_x0(seed: int) -> Any:
        events = Pipeline(Bundle.open(toy_bundle)).generate(Request("a cat", seed=seed, method="euler"))
        return next(e.x0 for e in events if isinstance(e, DenoisingStep))

    assert (first_x0(7) == first_x0(7)).all()
    assert (first_x0(7) != first_x0(8)).any()


def test_a_long_prompt_is_refused_and_cut_only_when_asked(toy_bundle: Path) -> None:
    pipeline, prompt = Pipeline(Bundle.open(toy_bundle)), "cat " * 75 + "and a dog"
    with pytest.raises(BadInput, match="and a dog"):
        pipeline.generate(Request(prompt, steps=1))
    events = pipeline.generate(Request(prompt, steps=1, cut=True))
    assert next(iter(events)) == PromptCut("and a dog")


@pytest.mark.parametrize(
    "request_",
    [
        Request(""),
        Request(" \t\n"),
        Request("a", steps=0),
        Request("a", steps=-1),
        Request("a", steps=1001),
        Request("a", guidance=float("nan")),
        Request("a", guidance=-1.0),
        Request("a", seed=-1),
        Request("a", seed=2**64),
        Request("a", method="heun"),
        Request("a", shift=0.0),
    ],
)
def test_a_bad_request_is_refused_at_once(toy_bundle: Path, request_: Request) -> None:
    pipeline = Pipeline(Bundle.open(toy_bundle))
    with pytest.raises(BadInput):
        pipeline.generate(request_)


def test_values_that_are_not_numbers_are_a_loss_of_parity(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path / "bad", denoiser_gain=float("inf"))
    backend = Recording()
    with pytest.raises(ParityLost, match="denoiser"):
        final(Pipeline(Bundle.open(tmp_path / "bad"), backend), Request("a cat"))
    assert backend.diary[-1] == "unload"

"""The sentence about a bundle over its budget, from profiles that are made up."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from lira_runtime.errors import BadInput
from lira_runtime.memory import remedy
from lira_runtime.memory.profile import Asked, Profile
from lira_runtime.progress import Progress

MB = 1_000_000
MadeUp = Callable[..., Profile]


def said(
    monkeypatch: pytest.MonkeyPatch, profile: Profile, budget: int, measured: dict[str, int] | None = None
) -> tuple[str, list[str]]:
    """The sentence, and the changes that were measured; `measured` gives the peak of each in MB."""
    tried = []

    def measure(bundle: object, asked: Asked, name: str) -> Any:
        changed = [str(value) for key, value in vars(asked).items() if value != getattr(profile.asked, key)]
        tried.append(f"{name} {' '.join(changed)}")
        if measured is None or " ".join(changed) not in measured:
            raise BadInput("not on this machine")
        return SimpleNamespace(peak=measured[" ".join(changed)] * MB)

    monkeypatch.setattr(remedy, "measure", measure)
    with Progress(0, "what would fit") as progress:
        return remedy.over_budget(profile, budget * MB, progress), tried


def test_the_first_loading_mode_that_was_measured_to_fit_is_named(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence, tried = said(monkeypatch, made_up(), 300, {"mapped": 318, "streamed": 200})
    assert sentence == (
        "the denoiser takes the process to 320 MB, 20 MB over the budget of 300 MB; the cheapest change that would fit "
        "is --weights streamed, measured at 200 MB."
    )
    assert tried == ["pipeline mapped", "pipeline streamed"]


@pytest.mark.parametrize(
    ("change", "peak", "fits"), [("streamed", 290, True), ("streamed", 291, False), ("mapped", 300, True)]
)
def test_streamed_weights_fit_only_with_what_they_vary_by_to_spare(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, change: str, peak: int, fits: bool
) -> None:
    sentence, _ = said(monkeypatch, made_up(), 300, {change: peak})
    assert (f"the cheapest change that would fit is --weights {change}, measured at {peak} MB" in sentence) == fits


def test_a_smaller_size_with_streamed_weights_needs_as_much_to_spare(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = made_up(resolutions=(1024, 512, 256), weights="streamed")
    sentence, _ = said(monkeypatch, profile, 300, {"512": 295, "256": 280})
    assert sentence.endswith("is --resolution 256, measured at 280 MB.")


def test_everything_that_is_over_the_budget_is_measured_again(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    _, tried = said(monkeypatch, made_up(), 280, {"mapped": 270})
    assert tried == ["pipeline mapped", "denoiser mapped"]


def test_without_a_loading_mode_that_fits_a_recipe_is_judged_by_the_weights(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """150 MB of float32 are 37.5 of int8, and the denoiser alone is over the budget."""
    sentence, _ = said(monkeypatch, made_up("fp16"), 300)
    assert sentence.endswith(
        "the cheapest change that would fit is the recipe int8 for the denoiser, about 208 MB by weights."
    )


@pytest.mark.parametrize("weights", ["packed", "mapped"])
def test_the_weights_are_the_manifests_and_not_what_loading_brings_in(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    """Of 40 MB of weights int8 saves 30; the made-up stage holds 150 MB of loading, none of them pages of files."""
    sentence, _ = said(monkeypatch, made_up("fp16", weights=weights, weighing=40), 300)
    assert sentence.endswith("is the recipe int8 for the denoiser, about 290 MB by weights.")


@pytest.mark.parametrize(("weights", "own"), [("streamed", "packed"), ("streamed", "streamed"), ("packed", "streamed")])
def test_no_recipe_is_judged_where_the_manifest_does_not_say_the_weights(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch, weights: str, own: str
) -> None:
    """As much of streamed weights is in memory by any recipe, and a manifest that streams says that much alone."""
    sentence, _ = said(monkeypatch, made_up("fp16", weights=weights, own=own), 300)
    assert "the recipe" not in sentence
    sentence, _ = said(monkeypatch, made_up("fp16", weighing=None), 300)
    assert "the recipe" not in sentence


def test_a_stage_is_as_high_as_the_higher_of_its_own_process_and_its_part_of_the_pipeline(made_up: MadeUp) -> None:
    profile = made_up()
    assert profile.pipeline is not None
    assert profile.peaks() == {"start": 90 * MB, "text_encoder": 170 * MB, "denoiser": 320 * MB, "decoder": 125 * MB}
    low = tuple(dataclasses.replace(phase, peak=100 * MB) for phase in profile.pipeline.phases)
    lower = dataclasses.replace(profile, pipeline=dataclasses.replace(profile.pipeline, phases=low))
    assert lower.peaks() == {"start": 100 * MB, "text_encoder": 140 * MB, "denoiser": 290 * MB, "decoder": 100 * MB}


def test_for_tflite_int4_comes_after_int8(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence, _ = said(monkeypatch, made_up("int8", "tflite"), 250)
    assert sentence.endswith("is the recipe int4 for the denoiser, about 245 MB by weights.")


def test_what_no_recipe_can_do_a_smaller_resolution_of_the_bundle_may(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The greatest that fits; larger ones than asked are no help, and what takes less weights was tried before."""
    profile = made_up(resolutions=(2048, 1024, 512, 256))
    sentence, tried = said(monkeypatch, profile, 160, {"512": 170, "256": 140})
    assert sentence.endswith("the cheapest change that would fit is --resolution 256, measured at 140 MB.")
    assert [each.split()[-1] for each in tried if each.startswith("pipeline")] == ["mapped", "streamed", "512", "256"]


def test_dropping_what_is_kept_loaded_comes_first(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence, _ = said(monkeypatch, made_up(keep_loaded=True), 300, {"False": 290, "streamed": 200})
    assert sentence.endswith("is to drop --keep-loaded, measured at 290 MB.")


def test_a_loading_mode_is_tried_with_what_is_kept_loaded_and_without(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"False": 310, "mapped": 318, "streamed": 305, "mapped False": 308, "streamed False": 200}
    sentence, tried = said(monkeypatch, made_up(keep_loaded=True), 300, measured)
    assert sentence.endswith("is --weights streamed without --keep-loaded, measured at 200 MB.")
    assert tried == [f"pipeline {change}" for change in measured]


def test_where_nothing_fits_it_says_so_and_who_weighs_combinations(
    made_up: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence, _ = said(monkeypatch, made_up(), 300, {"mapped": 318, "streamed": 310})
    assert sentence.endswith(
        "; no single change that can be judged here would fit; lira-export --budget weighs combinations."
    )


def test_what_comes_before_the_stages_may_be_the_peak(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = made_up()
    assert profile.pipeline is not None
    start = dataclasses.replace(profile.pipeline.phases[0], peak=400 * MB)
    changed = dataclasses.replace(profile.pipeline, phases=(start,), peak=400 * MB)
    sentence, _ = said(monkeypatch, dataclasses.replace(profile, pipeline=changed), 350)
    assert sentence == (
        "the process takes 400 MB before it loads a stage, 50 MB over the budget of 350 MB; no change to the bundle "
        "would fit."
    )


def test_a_budget_below_the_empty_process_needs_no_search(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence, tried = said(monkeypatch, made_up(), 80)
    assert sentence == (
        "the denoiser takes the process to 320 MB, 240 MB over the budget of 80 MB; no change would fit, since it "
        "takes 90 MB before it loads a stage."
    )
    assert tried == []

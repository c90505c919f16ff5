"""Which candidate is chosen, on memory made by hand."""

import pytest

from lira_export.memory import fit
from lira_export.memory.fit import (
    Candidate,
    candidates,
    cheapest_change,
    choose,
    losses,
    nearest_miss,
    table,
)
from lira_export.memory.predict import PipelineMemory, StageMemory
from lira_export.recipes import HOW, RECIPES
from lira_runtime.manifest import WeightsMode

MB = 1_000_000


def candidate(resolution: int, recipe: str, weights: WeightsMode, peak: int) -> Candidate:
    """Its denoiser takes the process of 50 MB to `peak` MB."""
    text, denoiser = (StageMemory(0, size * MB, 0, 0, 0) for size in (10, peak - 50))
    memory = PipelineMemory(60 * MB, 50 * MB, 0, 0, {"text_encoder": text, "denoiser": denoiser})
    return Candidate("onnx", resolution, RECIPES[recipe], weights, memory)


FOUND = [
    candidate(1024, "fp32", "packed", 700),
    candidate(1024, "fp32", "mapped", 700),
    candidate(1024, "fp32", "streamed", 300),
    candidate(1024, "int8", "packed", 340),
    candidate(1024, "int8", "streamed", 180),
    candidate(512, "fp32", "packed", 600),
    candidate(512, "fp32", "streamed", 220),
    candidate(512, "int8", "packed", 270),
    candidate(512, "int8", "streamed", 120),
]


@pytest.mark.parametrize(
    ("budget", "chosen"),
    [
        (1000, (1024, "fp32", "packed")),
        (400, (1024, "fp32", "streamed")),
        (299, (1024, "int8", "streamed")),
        (180, (1024, "int8", "streamed")),
        (179, (512, "int8", "streamed")),
    ],
)
def test_the_first_that_fits_is_chosen(budget: int, chosen: tuple[int, str, str]) -> None:
    found = choose(FOUND, budget * MB)
    assert found is not None
    assert (found.resolution, found.recipe.name, found.weights) == chosen


def test_no_visible_loss_comes_first_then_speed_then_the_default_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX's recipes all keep 40 dB and more; TFLite's int4 does not, and so comes after every mode of the others."""
    memory = candidate(64, "int8", "packed", 100).memory
    monkeypatch.setattr(fit, "predict_pipeline", lambda networks, load: memory)
    onnx = [(each.resolution, each.recipe.name, each.weights) for each in candidates({512: [], 256: []}, "onnx")]
    assert onnx[0] == (512, "int8", "packed")
    modes = [mode for side, _, mode in onnx if side == 512]
    assert modes == [mode for mode in ("packed", "mapped", "streamed") for _ in HOW["onnx"]]
    assert {side for side, _, _ in onnx[: len(onnx) // 2]} == {512}
    tflite = [(each.recipe.name, each.weights) for each in candidates({512: []}, "tflite")]
    assert tflite[-2:] == [("int4", "packed"), ("int4", "mapped")] and "int4" not in {name for name, _ in tflite[:-2]}
    assert [each.recipe.name for each in candidates({512: []}, "onnx", ("fp32",), ("streamed",))] == ["fp32"]


def test_a_budget_that_nothing_meets_names_the_nearest() -> None:
    assert choose(FOUND, 100 * MB) is None
    assert nearest_miss(FOUND, FOUND, 100 * MB) == (
        "nothing that was asked for fits the budget of 100 MB: the nearest is int8 at 512 px, weights streamed, "
        "predicted at 120 MB in the denoiser, 20 MB over; no loading mode, recipe or resolution that was looked at "
        "would fit."
    )


@pytest.mark.parametrize(
    ("budget", "change"),
    [
        (310, "--weights streamed, predicted at 180 MB"),
        (170, "--resolution 512 --weights streamed, predicted at 120 MB"),
    ],
)
def test_the_cheapest_change_leaves_most_as_it_was_asked_for(budget: int, change: str) -> None:
    asked = [FOUND[0], FOUND[3]]
    assert nearest_miss(asked, FOUND, budget * MB) == (
        f"nothing that was asked for fits the budget of {budget} MB: the nearest is int8 at 1024 px, weights packed, "
        f"predicted at 340 MB in the denoiser, {340 - budget} MB over; the cheapest change that would fit is {change}."
    )


def test_a_change_of_recipe_comes_before_one_of_resolution_and_none_is_said_to_be_none() -> None:
    asked = FOUND[0]
    without_streaming = [each for each in FOUND if each.weights == "packed"]
    change = cheapest_change(without_streaming, asked, 400 * MB)
    assert change is FOUND[3]
    assert "no loading mode, recipe or resolution" in nearest_miss([asked], without_streaming, 100 * MB)


def test_of_smaller_sizes_the_largest_that_fits_is_proposed() -> None:
    smaller = [candidate(256, "int8", "packed", 110), candidate(256, "int8", "streamed", 80)]
    assert cheapest_change([*smaller, *FOUND], FOUND[3], 130 * MB) is FOUND[8]
    assert cheapest_change([*smaller, *FOUND], FOUND[3], 115 * MB) is smaller[0]


def test_a_change_of_size_leaves_the_loading_mode_where_that_fits() -> None:
    assert cheapest_change([candidate(512, "int8", "packed", 110), *FOUND], FOUND[4], 130 * MB) is FOUND[8]


def test_the_table_has_a_line_for_each_and_marks_the_chosen() -> None:
    head, *lines = table(FOUND, 310 * MB, FOUND[2])
    assert head.split()[:3] == ["px", "recipe", "weights"] and len(lines) == len(FOUND)
    assert [line.split()[:3] for line in lines[:2]] == [["1024", "fp32", "packed"], ["1024", "fp32", "mapped"]]
    assert [line.endswith("chosen") for line in lines].index(True) == 2
    assert lines[0].endswith("390 MB over") and lines[4].endswith("fits") and "180 MB" in lines[4]


def test_every_recipe_of_a_target_that_runs_here_has_a_loss() -> None:
    assert set(losses()) == {"onnx", "tflite"}
    for target, known in losses().items():
        assert set(known) == set(HOW[target])

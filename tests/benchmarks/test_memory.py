"""The memory scripts: coefficients come back out of memory made of them, and cases are measured once."""

import json
from pathlib import Path

import pytest

import memory_calibrate
import memory_cases
import memory_measure
from lira_export.memory.calibration import CONVOLUTIONS, Engine, read_engines
from lira_runtime.loaded import StageRun
from lira_runtime.progress import Progress
from memory_calibrate import Point, cases_of, fit, write
from memory_measure import Case, PipelineResult, measure_cases, read_results

IDLE, LIBRARY, SESSION, OP = 50_000_000, 10_000_000, 2_000_000, 4_500.0
RATIOS = {"int8": 1.4, "fp32": 1.25, CONVOLUTIONS: 1.7}
LOADING, LEFT = 0.4, 0.15
WINDOW, CODE, LOADING_WINDOW, LOADING_SHARE = 14_000_000, 22_000_000, 16_000_000, 0.2


def point(recipe: str, mode: str, ops: int, planned: int, held: int, has_products: bool = True) -> Point:
    """A stage whose memory is what the coefficients above say."""
    halves = held // 2 if recipe == "fp16" else 0
    records = IDLE + LIBRARY + SESSION + int(OP * ops)
    loaded = records + held
    ratio = RATIOS[CONVOLUTIONS] if not has_products else RATIOS["fp32" if recipe == "fp16" else recipe]
    run_peak, load_peak = loaded + int(LEFT * halves) + int(ratio * planned), loaded + 1000 + int(LOADING * halves)
    if mode == "streamed":
        run_peak += min(held, WINDOW) - held - CODE
        load_peak = records + LOADING_WINDOW + int(LOADING_SHARE * held)
    run = StageRun(
        idle=IDLE,
        load_peak=load_peak,
        loaded=loaded,
        run_peak=run_peak,
        held=run_peak,
        unloaded=IDLE + 12_000_000,
        library=LIBRARY,
    )
    return Point(
        recipe=recipe,
        weights=mode,  # type: ignore[arg-type]
        has_products=has_products,
        run=run,
        ops=ops,
        planned=planned,
        held=held,
        tables=0,
        halves=halves,
        largest=1000,
    )


MB = 1_000_000
PIPELINE = PipelineResult(
    Case("onnx", "nano", "f8c4", 64, "int8"), 120 * MB, {"start": 99 * MB, "denoiser": 120 * MB}, 64 * MB, {}
)
SHAPES = ((1500, 20 * MB, 40 * MB), (2200, 60 * MB, 170 * MB), (700, 6 * MB, 90 * MB))


def test_the_coefficients_that_made_the_memory_are_found(tmp_path: Path) -> None:
    points = [point(recipe, "packed", *shape) for recipe in ("int8", "fp16", "fp32") for shape in SHAPES]
    points += [point("int8", "packed", 90, 12 * MB, MB, has_products=False)]
    points += [point("int8", "streamed", *shape) for shape in SHAPES]
    points += [point("int8", "streamed", 90, 12 * MB, MB, has_products=False)]
    found = fit(points, PIPELINE, packs_at_load=True)
    assert (found.start, found.process, found.library, found.kept) == (99 * MB, 64 * MB, LIBRARY, 12 * MB)
    assert found.session == pytest.approx(SESSION, rel=0.01) and found.op == pytest.approx(OP, rel=0.01)
    for name, ratio in (RATIOS | {"fp16": RATIOS["fp32"], "int4": RATIOS["int8"]}).items():
        assert found.workspace[name] == pytest.approx(ratio, rel=0.01)
    assert (found.loading, found.left) == pytest.approx((LOADING, LEFT), rel=0.01)
    assert found.streamed is not None
    assert found.streamed.window == pytest.approx(WINDOW, rel=0.01)
    assert found.streamed.code == pytest.approx(CODE, rel=0.01)
    assert found.streamed.loading == pytest.approx(LOADING_WINDOW, rel=0.01)
    assert found.streamed.loading_share == pytest.approx(LOADING_SHARE, rel=0.01)


def test_the_file_that_is_written_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(
        start=9,
        process=1,
        library=2,
        kept=3,
        session=4,
        op=5.5,
        workspace={"int8": 1.5},
        loading=0.25,
        left=0.0,
        streamed=None,
    )
    write({"tflite": engine}, tmp_path / "c.toml")
    assert read_engines((tmp_path / "c.toml").read_text()) == {"tflite": engine}


def test_no_case_that_calibrates_is_one_that_is_proved_on() -> None:
    for target in ("onnx", "tflite"):
        proved = memory_cases.grid(target, memory_cases.PRESETS, memory_cases.LATENTS, memory_cases.SIDES, "packed")
        shapes = {(case.preset, case.latent, case.resolution) for case in proved}
        encoders = {case.text_encoder for case in proved}
        assert len(proved) == 4 * 2 * 3 * len(memory_cases.RECIPES)
        for case in cases_of(target):
            assert (case.preset, case.latent, case.resolution) not in shapes
            assert case.text_encoder not in encoders


def test_what_was_measured_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, cases = tmp_path / "results.jsonl", [Case("onnx", "nano", "f8c4", side, "int8") for side in (64, 96)]
    monkeypatch.setattr(memory_measure, "_write", lambda members, scratch: {"int8": scratch / "int8"})
    made = []

    def run(case: Case, folder: Path) -> list[PipelineResult]:
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(case)
        return [PipelineResult(case, 100, {"start": 10, "denoiser": 100}, 10, {})]

    monkeypatch.setattr(PipelineResult, "of", run)
    with pytest.raises(KeyboardInterrupt), Progress(2, "memory") as progress:
        measure_cases(PipelineResult, cases, results, progress)
    monkeypatch.setattr(PipelineResult, "of", lambda case, folder: [PipelineResult(case, 200, {"start": 10}, 10, {})])
    with Progress(2, "memory") as progress:
        measure_cases(PipelineResult, cases, results, progress)
    assert [(result.case.resolution, result.peak) for result in read_results(PipelineResult, results)] == [
        (64, 100),
        (96, 200),
    ]
    assert len([json.loads(line) for line in results.read_text().splitlines()]) == 2


def test_a_row_gives_the_error_of_the_prediction() -> None:
    case = Case("onnx", "nano", "f8c4", 64, "int8")
    (row,) = memory_cases.rows_of([PipelineResult(case, 100 * MB, {"start": MB, "denoiser": 100 * MB}, MB, {})])
    assert row["error %"] == pytest.approx(row["predicted MB"] - 100)
    assert memory_cases.summary([{"error %": -3.0}, {"error %": 1.0}, {"error %": 2.0}]) == {
        "cases": 3,
        "median error %": 2.0,
        "worst error %": 3.0,
    }
    assert memory_calibrate.TEXT_ENCODER != memory_measure.USUAL_TEXT_ENCODER

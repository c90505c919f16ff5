"""`lira-export --budget`, dry and in earnest."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from event_lines import read_events

from lira_export import bundle
from lira_export.references import References
from lira_runtime.bundle import Bundle
from lira_runtime.errors import OverBudget
from lira_runtime.memory.budget import parse_bytes

SMALL = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]
MB = 1_000_000
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def no_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be converted")

    monkeypatch.setattr(bundle, "write_bundle", fail)
    monkeypatch.setattr("torch.onnx.export", fail)


@pytest.mark.usefixtures("no_conversion")
def test_a_dry_run_of_small_says_what_fits_by_stage_in_seconds(tmp_path: Path, run_export: Run) -> None:
    start = time.process_time()
    arguments = ("--target", "onnx", "--config", "small", "--dry-run", "--out", str(tmp_path / "b"))
    code, stdout, _ = run_export(*arguments, "--budget", "600MB")
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert time.process_time() - start < 30
    lines = stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["start", "text", "denoiser", "decoder"]
    assert lines[-1].startswith("fits the budget of 600 MB with ")


@pytest.mark.usefixtures("no_conversion")
def test_a_dry_run_chooses_as_the_export_does(tmp_path: Path, run_export: Run) -> None:
    """Of small, packed weights do not fit 300 MB and streamed ones do."""
    arguments = ("--target", "onnx", "--config", "small", "--dry-run", "--out", str(tmp_path / "b"))
    code, stdout, _ = run_export(*arguments, "--budget", "300MB", "--json")
    assert code == 0 and list(tmp_path.iterdir()) == []
    weighed, plan = (each for each in read_events(stdout) if each["event"] in ("candidates", "plan"))
    chosen = next(each for each in weighed["candidates"] if each["fits"])
    assert plan["predicted"] == chosen and (chosen["recipe"], chosen["weights"]) == ("int8", "streamed")


@pytest.mark.usefixtures("no_conversion")
def test_a_dry_run_over_the_budget_names_stage_overshoot_and_change(tmp_path: Path, run_export: Run) -> None:
    named = ("--recipe", "fp32", "--weights", "packed")
    arguments = ("--target", "onnx", "--config", "small", *named, "--dry-run", "--out", str(tmp_path / "b"))
    code, stdout, err = run_export(*arguments, "--budget", "400MB", "--json")
    assert code == 3 and list(tmp_path.iterdir()) == []
    *_, weighed, error = read_events(stdout)
    (only,) = weighed["candidates"]
    assert weighed["event"] == "candidates" and only["fits"] is False and error["code"] == "over_budget"
    assert only["predicted_bytes"] == max(only["stages"].values()) == only["stages"]["denoiser"]
    sentence = err.splitlines()[-1]
    overshoot = f"in the denoiser, {(only['predicted_bytes'] - 400 * MB) / 1e6:.0f} MB over; "
    assert sentence.startswith("error: nothing that was asked for fits the budget of 400 MB: ")
    assert overshoot in sentence and "the cheapest change that would fit is --weights " in sentence


@pytest.mark.usefixtures("no_conversion")
def test_a_dry_run_of_several_sizes_predicts_the_one_that_takes_most(tmp_path: Path, run_export: Run) -> None:
    peaks = []
    for sides in ("512", "64,512", "64"):
        code, stdout, _ = run_export(*SMALL, "--resolution", sides, "--dry-run", "--json", "--out", str(tmp_path / "b"))
        (plan,) = (each for each in read_events(stdout) if each["event"] == "plan")
        assert code == 0
        peaks.append((plan["predicted"]["resolution"], plan["predicted"]["predicted_bytes"]))
    assert peaks[0] == peaks[1] != peaks[2] and peaks[1][0] == 512


@pytest.mark.usefixtures("no_conversion")
@pytest.mark.parametrize("part", [("--component", "denoiser"), ("--target", "coreml")])
def test_a_dry_run_says_where_there_is_no_prediction(part: tuple[str, str], tmp_path: Path, run_export: Run) -> None:
    code, stdout, _ = run_export(*SMALL, *part, "--dry-run", "--out", str(tmp_path / "b"))
    assert code == 0 and stdout.splitlines()[-1].startswith("memory is predicted for whole pipelines")


@pytest.mark.usefixtures("no_conversion")
def test_a_dry_run_proposes_half_the_size(tmp_path: Path, run_export: Run) -> None:
    arguments = (*SMALL, "--resolution", "1024", "--dry-run", "--budget", "150MB", "--out", str(tmp_path / "b"))
    code, _, err = run_export(*arguments)
    assert code == 3 and "the cheapest change that would fit is --resolution 512, predicted at " in err.splitlines()[-1]


@pytest.mark.usefixtures("no_conversion")
def test_a_budget_that_nothing_meets_ends_before_anything_is_converted(tmp_path: Path, run_export: Run) -> None:
    code, stdout, err = run_export(*SMALL, "--budget", "20MB", "--out", str(tmp_path / "bundle"))
    assert code == 3 and list(tmp_path.iterdir()) == []
    assert "nothing that was asked for fits the budget of 20 MB: the nearest is " in err.splitlines()[-1]
    rows = stdout.splitlines()
    assert rows[0].split()[:3] == ["px", "recipe", "weights"]
    assert len(rows) == 1 + 4 * 3, "four recipes in three loading modes"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "coreml", "--budget", "1GB"], "coreml"),
        (["--target", "onnx", "--budget", "much"], "'much' is no amount of memory"),
        (["--target", "onnx", "--budget", "1GB", "--component", "decoder"], "--budget is for a whole pipeline"),
        (["--target", "tflite", "--weights", "streamed"], "tflite cannot stream its weights"),
    ],
)
def test_what_a_budget_cannot_be_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, run_export: Run
) -> None:
    code, stdout, err = run_export("--config", "nano", *arguments, "--out", str(tmp_path / "bundle"))
    assert (code, stdout) == (2, "") and sentence in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("budget", "narrowed", "chosen"),
    [
        ("1GB", (), ("int8", "packed", (64,))),
        ("120MB", ("--resolution", "512"), ("int8", "streamed", (512,))),
        ("1GB", ("--recipe", "fp32", "--weights", "mapped"), ("fp32", "mapped", (64,))),
        ("150MB", ("--resolution", "1024,64"), ("int8", "packed", (64,))),
    ],
    ids=lambda each: "-".join(map(str, each)) if isinstance(each, tuple) else each,
)
def test_what_is_chosen_is_what_is_ordered(
    budget: str,
    narrowed: tuple[str, ...],
    chosen: tuple[str, str, tuple[int, ...]],
    tmp_path: Path,
    run_export: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ordered: list[tuple[bundle.Order, References]] = []

    def order(each: bundle.Order, references: References, *more: object) -> None:
        ordered.append((each, references))
        raise OverBudget("far enough.")

    monkeypatch.setattr(bundle, "write_bundle", order)
    code, stdout, _ = run_export(*SMALL, *narrowed, "--budget", budget, "--out", str(tmp_path / "bundle"))
    ((found, references),) = ordered
    assert code == 3 and (found.recipe.name, found.weights, references.resolutions) == chosen
    assert references.models.resolution == chosen[2][0]
    (line,) = (line for line in stdout.splitlines() if line.endswith("chosen"))
    assert line.split()[1:3] == list(chosen[:2])
    assert found.budget is not None and found.budget.predicted < found.budget.nbytes == parse_bytes(budget)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="weights are streamed on Linux")
def test_what_is_chosen_is_exported_measured_and_written_down(tmp_path: Path, run_export: Run) -> None:
    out = tmp_path / "bundle"
    budget = ("--budget", "1GB", "--recipe", "int8", "--weights", "streamed")
    code, stdout, err = run_export(*SMALL, *budget, "--out", str(out))
    assert code == 0 and stdout.splitlines()[1].endswith("chosen")
    written = Bundle.open(out).manifest
    assert written.weights == "streamed" and {each.recipe for each in written.components} == {"int8"}
    (line,) = (line for line in err.splitlines() if line.startswith("memory: the whole pipeline takes "))
    taken, predicted = (int(line.split(" MB")[at].split()[-1]) for at in (0, 1))
    assert taken == pytest.approx(predicted, rel=0.3)
    assert not [path for path in out.iterdir() if path.is_dir()], "what was packed to measure is gone"

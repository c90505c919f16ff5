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
    arguments = (
        "--target",
        "onnx",
        "--config",
        "small",
        "--dry-run",
        "--budget",
        "600MB",
        "--out",
        str(tmp_path / "b"),
    )
    code, stdout, _ = run_export(*arguments)
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert time.process_time() - start < 30
    lines = stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["start", "text", "denoiser", "decoder"]
    assert lines[-1].startswith("fits the budget of 600 MB with ")


@pytest.mark.usefixtures("no_conversion")
def test_a_dry_run_over_the_budget_names_stage_overshoot_and_change(tmp_path: Path, run_export: Run) -> None:
    arguments = ("--target", "onnx", "--config", "small", "--recipe", "fp32", "--dry-run", "--out", str(tmp_path / "b"))
    code, stdout, err = run_export(*arguments, "--budget", "400MB", "--json")
    assert code == 3 and list(tmp_path.iterdir()) == []
    *_, whole, error = read_events(stdout)
    plan = whole["predicted"]
    assert whole["event"] == "plan" and plan["fits"] is False and error["code"] == "over_budget"
    assert plan["predicted_bytes"] == max(plan["stages"].values()) == plan["stages"]["denoiser"]
    sentence = err.splitlines()[-1]
    overshoot = f"{(plan['predicted_bytes'] - 400 * MB) / 1e6:.0f} MB over the budget of 400 MB"
    assert sentence.startswith("error: the denoiser is predicted to take the process to ") and overshoot in sentence
    assert "the cheapest change that would fit is --" in sentence


@pytest.mark.usefixtures("no_conversion")
@pytest.mark.parametrize(
    ("sides", "budget", "change"),
    [("1024", "150MB", "--resolution 512,"), ("1024,768", "190MB", "--resolution 768,")],
)
def test_a_dry_run_proposes_half_the_size_and_the_other_sizes_that_were_named(
    sides: str, budget: str, change: str, tmp_path: Path, run_export: Run
) -> None:
    arguments = (*SMALL, "--resolution", sides, "--dry-run", "--budget", budget, "--out", str(tmp_path / "b"))
    code, _, err = run_export(*arguments)
    assert code == 3 and f"the cheapest change that would fit is {change} predicted at " in err.splitlines()[-1]


@pytest.mark.usefixtures("no_conversion")
def test_a_budget_that_nothing_meets_ends_before_anything_is_converted(tmp_path: Path, run_export: Run) -> None:
    code, stdout, err = run_export(*SMALL, "--budget", "20MB", "--out", str(tmp_path / "bundle"))
    assert code == 3 and list(tmp_path.iterdir()) == []
    assert "nothing fits the budget of 20 MB: the nearest is " in err.splitlines()[-1]
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

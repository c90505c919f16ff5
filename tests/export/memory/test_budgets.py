"""budgets.toml: read, and held against bundles."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from event_lines import named, read_events
from toy_bundle import write_toy_bundle

from lira.latents import LATENT_KINDS, latent_kind
from lira.presets import PRESETS
from lira_export.memory import budgets
from lira_export.memory.budgets import Line, read_budgets, report
from lira_export.memory.fit import networks_of
from lira_export.memory.predict import Load, predict_pipeline
from lira_export.memory.shapes import shape_models
from lira_export.recipes import RECIPES
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput

COMMITTED = read_budgets(Path(__file__).parents[3] / "budgets.toml")
MB = 1_000_000
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["budgets", *arguments])
        with pytest.raises(SystemExit) as ended:
            budgets.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_a_bundle_within_its_budget_passes_and_one_over_it_is_named(toy_bundle: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text('[toy.onnx.toy]\n16 = "4GB"\n')
    code, stdout, _ = run(str(toy_bundle), "--budgets", str(file), "--json")
    assert code == 0
    (found,) = read_events(stdout)[-1]["lines"]
    assert found["budget"] == 4000 * MB and 30 * MB < found["measured"] < 400 * MB
    file.write_text('[toy.onnx.toy]\n16 = "20 MB"\n')
    code, stdout, err = run(str(toy_bundle), "--budgets", str(file))
    assert code == 3 and "over its budget of 20 MB" in err.splitlines()[-1]
    assert stdout.splitlines()[0].split() == ["bundle", "px", "weights", "budget", "measured", "change"]


def test_every_size_is_measured_and_the_one_that_is_most_over_is_named(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {32: 70 * MB, 16: 40 * MB}
    monkeypatch.setattr(budgets, "measured_peak", lambda folder, side=32: taken[side])
    write_toy_bundle(tmp_path / "toy", resolutions=(32, 16))
    (tmp_path / "budgets.toml").write_text('[toy.onnx.toy]\n16 = "30MB"\n32 = "30MB"\n')
    code, stdout, err = run(str(tmp_path / "toy"), "--budgets", str(tmp_path / "budgets.toml"), "--json")
    assert code == 3
    assert err.splitlines()[-1].endswith("takes 70 MB at 32 px, 40 MB over its budget of 30 MB.")
    (result,) = named(read_events(stdout), "result")
    assert {line["resolution"]: line["measured"] for line in result["lines"]} == taken


def test_a_report_gives_the_change_against_the_budget() -> None:
    lines = [Line("a", 1024, "packed", 350 * MB, 343 * MB), Line("b", 512, "streamed", 100 * MB, 125 * MB)]
    head, below, above = report(lines)
    assert below.split() == ["a", "1024", "packed", "350", "MB", "343", "MB", "-7.0", "MB", "(-2.0%)"]
    assert above.split() == ["b", "512", "streamed", "100", "MB", "125", "MB", "+25", "MB", "(+25.0%)"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[toy", "cannot be read"),
        ("[toy.onnx.toy]\n16 = 350", "budgets.toml: the budget toy.onnx.toy.16 must be an amount in quotes"),
        ('[toy.onnx.toy]\n16 = "much"', "budgets.toml: the budget toy.onnx.toy.16: 'much' is no amount of memory"),
        ('[toy.onnx.toy]\n512 = "1GB"', "no budget for toy.onnx.toy at 16 px; add one under [toy.onnx.toy]"),
        ('[toy.tensorrt.toy]\n16 = "1GB"', "budgets.toml: toy.tensorrt is not preset, target, latent kind, resolution"),
        ('[toy.onnx.toy]\n016 = "1GB"', "budgets.toml: toy.onnx.toy.016 is not "),
        ('[toy.onnx]\ntoy = "1GB"', "budgets.toml: toy.onnx.toy is not "),
        ('[toy.onnx.toy.16]\nx = "1GB"', "budgets.toml: toy.onnx.toy.16 is not "),
        ('"toy.onnx.toy.16" = "1GB"', "budgets.toml: toy.onnx.toy.16 is not "),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(
    text: str, sentence: str, toy_bundle: Path, tmp_path: Path, run: Run
) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(text)
    code, stdout, err = run(str(toy_bundle), "--budgets", str(file))
    assert (code, stdout) == (2, "") and sentence in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("broken", "sentence"), [("coreml", "Core ML bundles are run by an app"), ("partial", "holds no denoiser")]
)
def test_a_bundle_that_cannot_be_run_is_refused_before_another_is_measured(
    broken: str, sentence: str, tmp_path: Path, toy_bundle: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Path] = []
    monkeypatch.setattr(budgets, "measured_peak", lambda folder, side: measured.append(folder) or MB)
    manifest = Bundle.open(toy_bundle).manifest
    if broken == "coreml":
        changed = msgspec.structs.replace(manifest, target="coreml")
    else:
        changed = msgspec.structs.replace(manifest, components=manifest.components[:1])
    monkeypatch.setattr(
        budgets.Bundle, "open", lambda folder: Bundle(folder, changed if folder.name == broken else manifest, "")
    )
    file = tmp_path / "budgets.toml"
    file.write_text('[toy.onnx.toy]\n16 = "4GB"\n[toy.coreml.toy]\n16 = "4GB"\n')
    code, stdout, err = run(str(toy_bundle), str(tmp_path / broken), "--budgets", str(file))
    assert (code, stdout, measured) == (2, "", []) and sentence in err


def test_a_missing_file_is_said() -> None:
    with pytest.raises(BadInput, match="no file of budgets at nowhere"):
        read_budgets(Path("nowhere"))


def test_the_committed_budgets_name_what_there_is() -> None:
    for place in COMMITTED:
        preset, target, latent, side = place.split(".")
        assert preset in PRESETS and target in ("onnx", "tflite")
        LATENT_KINDS[latent].shape(int(side), int(side))
    assert {"small", "tiny"} <= {place.split(".")[0] for place in COMMITTED}


@pytest.mark.parametrize(
    ("preset", "latent"), sorted({(parts[0], parts[2]) for parts in (place.split(".") for place in COMMITTED)})
)
def test_a_committed_budget_is_no_less_than_is_predicted_and_hardly_more(preset: str, latent: str) -> None:
    """So that a line that was mistyped, or is never measured, does not let anything through."""
    amounts = {
        (target, int(side)): amount
        for place, amount in COMMITTED.items()
        for named, target, kind, side in [place.split(".")]
        if (named, kind) == (preset, latent)
    }
    sides = sorted({side for _, side in amounts})
    networks = networks_of(shape_models(preset, latent_kind(latent), "vit-l-14", sides[-1]), sides)
    for (target, side), amount in amounts.items():
        predicted = predict_pipeline(networks[side], Load(target, RECIPES["int8"])).peak  # type: ignore[arg-type]
        assert 0.8 * amount <= predicted <= amount, f"{target} at {side} px: {predicted / MB:.0f} MB"

"""`lira-eval` on a toy bundle: what it draws, what it writes, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from event_lines import read_events
from PIL import Image

from lira.evaluation import cli
from lira.evaluation.drawing import Options, bundle_artist
from lira.evaluation.judge import THINGS, Judge, load_judge
from lira.evaluation.judge_training import save_judge
from lira.evaluation.suite import obedience
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.pipeline import ImageReady, Pipeline, Request

Ran = tuple[int, str, str]
THREADS = ("--threads", "1")


@pytest.fixture(scope="session")
def judge_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("judge") / "judge.safetensors"
    save_judge(Judge().eval(), path)
    return path


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from toy_bundle import write_toy_bundle

    path = tmp_path_factory.mktemp("bundle") / "toy"
    write_toy_bundle(path)
    return path


@pytest.fixture
def run_eval(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`lira-eval` with these arguments -> exit code, stdout, stderr."""

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr("sys.argv", ["lira-eval", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def drawn_by_the_runtime(bundle: Path, count: int) -> list[np.ndarray]:
    pipeline, pictures = Pipeline(Bundle.open(bundle), OnnxBackend(SessionSettings(threads=1))), []
    for seed, scene in enumerate(obedience(count)):
        ready = list(pipeline.generate(Request(scene.caption, seed=seed, steps=3, guidance=2.0)))[-1]
        assert isinstance(ready, ImageReady)
        pictures.append(ready.image)
    return pictures


def test_graphs_that_stay_loaded_draw_what_the_runtime_draws(toy_bundle: Path) -> None:
    artist = bundle_artist(toy_bundle, Options(steps=3, guidance=2.0, threads=1))
    made = list(artist.draw([scene.caption for scene in obedience(4)]))
    np.testing.assert_array_equal(np.stack(made), np.stack(drawn_by_the_runtime(toy_bundle, 4)))


def test_report_says_what_the_judge_reads_in_the_runtimes_pictures(
    run_eval: Callable[..., Ran], toy_bundle: Path, judge_path: Path, tmp_path: Path
) -> None:
    second = Path(shutil.copytree(toy_bundle, tmp_path / "second"))
    out, sheet = tmp_path / "report.json", tmp_path / "sheet.png"
    options = ("--count", "6", "--steps", "3", "--guidance", "2", "--judge", judge_path, *THREADS, "--json")
    code, text, errors = run_eval(toy_bundle, second, *options, "--out", out, "--sheet", sheet)
    assert code == 0, errors
    *_, report = read_events(text)
    whole = json.loads(out.read_text())
    assert {key: report[key] for key in ("suite", "count")} == {key: whole[key] for key in ("suite", "count")}
    assert [{"first_minus_this": None, **run} for run in whole["runs"]] == report["runs"]
    assert report["count"] == 6 and [run["name"] for run in report["runs"]] == ["toy (fp32)", "second (fp32)"]
    assert report["runs"][0]["settings"]["steps"] == 3 and report["runs"][0]["settings"]["guidance"] == 2
    readings = load_judge(judge_path).read(np.stack(drawn_by_the_runtime(toy_bundle, 6)))
    for prompt, scene, reading in zip(whole["prompts"], obedience(6), readings, strict=True):
        assert prompt["prompt"] == scene.caption
        assert prompt["runs"][0]["background"] == reading.background
        assert prompt["runs"][0]["seen"].keys() == reading.seen.keys()
        assert prompt["runs"][0]["verdicts"]["background"] == (reading.background == scene.background)
    right = sum(r.background == s.background for r, s in zip(readings, obedience(6), strict=True))
    assert report["runs"][0]["shares"]["background"]["right"] == right
    against = report["runs"][1]["first_minus_this"]["background"]
    assert (against["value"], against["gained"], against["lost"]) == (0, 0, 0)
    assert Image.open(sheet).size[0] == 8 * 192


def test_table_has_a_row_for_every_run_and_their_difference(
    run_eval: Callable[..., Ran], toy_bundle: Path, judge_path: Path
) -> None:
    code, text, errors = run_eval(
        toy_bundle, toy_bundle, "--count", "5", "--steps", "1", "--judge", judge_path, *THREADS
    )
    assert code == 0, errors
    assert text.count("toy (fp32)") == 2 and text.count("against other prompts  ") == 2
    assert text.count("first run minus this") == 1
    assert "relation (n=3)" in text and "size (n=2)" in text


def test_the_judge_is_measured_on_held_out_scenes_and_its_confusions_are_named(
    run_eval: Callable[..., Ran], tmp_path: Path, emoji_folder: Path
) -> None:
    judge, blind = Judge().eval(), tmp_path / "blind.safetensors"
    with torch.no_grad():  # wherever it looks it sees a cat
        judge.things.weight.zero_()
        judge.things.bias.copy_(torch.eye(len(judge.things.bias))[1 + THINGS.index("cat")])
    save_judge(judge, blind)
    options = ("judge", "--emoji", emoji_folder, "--judge", blind, "--count", "20")
    code, text, errors = run_eval(*options)
    assert code == 0, errors
    assert text.startswith("judge on 20 held-out real scenes")
    confusions = [line for line in text.splitlines() if " -> " in line and ":" in line][1:]
    # Every place is taken for a cat: 9 for each scene, of which one or two hold a thing.
    assert confusions[0].startswith("  nothing -> cat: ") and 140 <= int(confusions[0].split()[-1]) <= 160
    assert all(line.split(" -> ")[1].startswith("cat:") for line in confusions)
    assert "  objects     0.0 (0.0 to" in text
    code, text, errors = run_eval(*options, "--json")
    (result,) = read_events(text)
    assert (code, errors) == (0, "") and result["command"] == "lira-eval judge"
    assert (result["shares"]["objects"]["right"], result["shares"]["objects"]["count"]) == (0, 20)
    said = ["  {shown} -> {read}: {times}".format(**confused) for confused in result["confused"]]
    assert said[: len(confusions)] == confusions
    assert sum(map(sum, result["backgrounds"])) == 20


def test_what_training_the_judge_comes_to_is_what_its_file_is_measured_at(
    run_eval: Callable[..., Ran], tmp_path: Path, emoji_folder: Path
) -> None:
    options = ("--emoji", emoji_folder, "--count", "10", "--json")
    code, text, errors = run_eval("train-judge", *options, "--out", tmp_path / "new.safetensors", "--steps", "2")
    assert code == 0, errors
    *progress, trained = read_events(text)
    assert [(each["event"], each["done"], each["total"]) for each in progress][-1] == ("progress", 2, 2)
    _, text, _ = run_eval("judge", *options, "--judge", tmp_path / "new.safetensors")
    assert [trained] == read_events(text)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing to draw with"),
        (("{toy}", "--reasoning", "constant"), "belongs to --checkpoint"),
        (("{tmp}/none",), "no bundle"),
        (("{toy}", "--judge", "{tmp}/none"), "No weights"),
        (("{toy}", "--guidance", "1000"), "guidance must lie"),
        (("{toy}", "--out", "{tmp}"), "is a directory"),
        (("{toy}", "--suite", "beauty"), "beauty"),
        (("--checkpoint", "{tmp}/none"), "No weights"),
        (("judge", "--emoji", "{tmp}/none"), "No emoji package"),
        (("train-judge", "--emoji", "{tmp}/none", "--out", "{tmp}/judge.safetensors"), "No emoji package"),
        (("train-judge", "--emoji", "{tmp}/none", "--out", "{tmp}/no/judge.safetensors"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    run_eval: Callable[..., Ran],
    toy_bundle: Path,
    judge_path: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    filled = [argument.format(toy=toy_bundle, tmp=tmp_path) for argument in arguments]
    if "train-judge" not in filled and "--judge" not in filled:
        filled += ["--judge", str(judge_path)]
    code, text, errors = run_eval(*filled)
    assert code == 2 and text == ""
    assert errors.startswith("error: ") and errors.count("\n") == 1 and sentence in errors


def test_without_a_word_the_command_says_what_it_needs(run_eval: Callable[..., Ran]) -> None:
    assert run_eval() == (2, "", "error: there is nothing to draw with: name a bundle or a --checkpoint.\n")

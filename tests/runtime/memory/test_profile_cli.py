import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from event_lines import named, read_events
from toy_bundle import write_toy_bundle

from lira_runtime import manifest as m
from lira_runtime.bundle import Bundle
from lira_runtime.files import sha256_of
from lira_runtime.memory import describe, profile_cli
from lira_runtime.memory import profile as memory_profile
from lira_runtime.memory.profile import PIPELINE, Profile, processes
from lira_runtime.memory.profile_cli import main

MB = 1_000_000
SIDE = 2048
"""px; the toy's picture of that size is 50 MB, a few times over."""
MadeUp = Callable[..., Profile]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Exit code and the one sentence on stderr; nothing may be on stdout."""
    code = run(*arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1, captured.err
    return code, captured.err


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def profile(*_: object) -> None:
        raise AssertionError("work has started")

    monkeypatch.setattr(profile_cli, "profile", profile)


def changed(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    m.save(m.decode(json.dumps(manifest).encode()), bundle)
    return bundle


@linux_only
def test_over_its_budget_a_bundle_fails_with_the_sentence_and_leaves_its_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy_bundle(tmp_path / "bundle", resolutions=(16, SIDE))
    flags = ["--resolution", str(SIDE), "--threads", "1", "--steps", "1", "--budget", "150MB", "--json"]
    assert run(tmp_path / "bundle", *flags, "--html", tmp_path / "report.html") == 3
    captured = capsys.readouterr()
    found, (sentence,) = read_events(captured.out), captured.err.splitlines()
    (result,) = named(found, "result")
    assert {each["event"] for each in found} == {"progress", "result", "error"}
    assert sentence == f"error: {found[-1]['message']}" and found[-1]["code"] == "over_budget"
    peak = result["peak_bytes"]
    assert peak == result["processes"]["pipeline"]["peak_bytes"] > 150 * MB
    phases = result["processes"]["pipeline"]["phases"]
    highest = max(phases, key=lambda phase: phase["peak"])["name"]
    assert highest in ("denoiser", "decoder")  # of the toy, within a megabyte of each other
    assert sentence.startswith(
        f"error: the {highest} takes the process to {peak / 1e6:.0f} MB, {(peak - 150 * MB) / 1e6:.0f} MB over the "
        "budget of 150 MB; the cheapest change that would fit is --resolution 16, measured at "
    )
    assert result["digest"] == sha256_of(tmp_path / "bundle" / "manifest.json")
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert sorted(os.listdir(tmp_path)) == ["bundle", "report.html"]


@linux_only
def test_the_stages_of_a_partial_bundle_are_profiled(toy_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def keep_the_decoder(manifest: dict[str, Any]) -> None:
        manifest["components"] = [each for each in manifest["components"] if each["name"] == "decoder"]
        manifest.update(partial=True, empty_prompt=None)

    assert run(changed(toy_bundle, keep_the_decoder), "--budget", "1GB") == 0
    out = capsys.readouterr().out
    assert "decoder  import" in out and "text encoder" not in out and "whole pipeline" not in out.splitlines()[2]
    assert "This is a partial bundle" in out
    assert "Fits the budget of 1000 MB" in out


def test_its_help_names_what_is_measured_in_that_order(toy_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert processes(Bundle.open(toy_bundle))[0] == PIPELINE
    assert "the whole pipeline, then each stage by itself." in said


@linux_only
def test_a_prompt_that_is_too_long_is_bad_input(toy_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(toy_bundle, "--prompt", "apple " * 100, "--json") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "longer than the 75 tokens" in said
    assert said.endswith("shorten it, or draw its beginning with lira-generate --cut."), "this command has no --cut"


def test_the_table_names_each_process_once_and_every_phase(
    made_up: MadeUp, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(profile_cli, "profile", lambda *_: made_up())
    assert run(toy_bundle, "--budget", "400MB") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "whole pipeline  start             90.0       60.0         30.0   90.0     1.00" in lines
    assert "                denoiser          90.0       60.0         30.0  320.0     1.00" in lines
    assert "denoiser        import            50.0       20.0         30.0   50.0     1.00" in lines
    assert "decoder       loading          55.0          -          -          50.0     5.0     0.0      0.0" in lines
    assert "              running          95.0       45.0      123.0          50.0     5.0     0.0     40.0" in lines
    assert describe.PHASE_NOTE in lines and f"Parts: {describe.PART_NOTE}" in lines
    assert "Fits the budget of 400 MB with 80 MB to spare." in lines


def test_the_picture_is_written_beside_the_table(
    made_up: MadeUp, toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(profile_cli, "profile", lambda *_: made_up())
    assert run(toy_bundle, "--png", tmp_path / "plot.png") == 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("flags", [("--html", "\udcff.html"), ("--html", "ok.html", "--png", "\udcff.png")])
def test_reports_are_written_by_names_that_are_no_unicode_and_say_them_escaped(
    made_up: MadeUp,
    toy_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
) -> None:
    """As a shell gives one whose bytes are no UTF-8."""
    if "--png" in flags:
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    monkeypatch.setattr(profile_cli, "profile", lambda *_: made_up())
    monkeypatch.setattr(sys, "argv", ["lira-profile", "bundle", *flags])
    monkeypatch.chdir(tmp_path)
    assert run(toy_bundle, *flags) == 0
    assert f"wrote {flags[-1]}".replace("\udcff", "\\udcff") in capsys.readouterr().out.splitlines()
    assert all(os.path.getsize(name) for name in flags[1::2])
    assert "\\udcff" in Path(flags[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("text", ["lots", "-1MB", "300"])
def test_a_budget_that_is_no_amount(
    nothing_runs: None, toy_bundle: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    code, said = refused(capsys, toy_bundle, "--budget", text)
    assert code == 2 and f"'{text}' is no amount of memory" in said


@pytest.mark.parametrize("flag", ["--html", "--png"])
def test_a_report_that_cannot_be_written_is_known_before_the_work(
    nothing_runs: None, toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    code, said = refused(capsys, toy_bundle, flag, tmp_path / "none" / "report")
    assert code == 2 and "does not exist" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--html", "/proc/x.html"), "the folder /proc cannot be written to"),
        (("--png", "/proc/x.png"), "the folder /proc cannot be written to"),
        (("--png", "plot.jpg"), "plot.jpg would hold a PNG"),
        (("--threads", "100000"), "100000"),
    ],
)
def test_what_would_fail_in_the_end_is_refused_before_the_work(
    nothing_runs: None, toy_bundle: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, sentence = refused(capsys, toy_bundle, *words)
    assert code == 2 and said in sentence


@pytest.mark.parametrize(("installed", "said"), [(True, "cannot be streamed"), (False, "pip install '.[litert]'")])
def test_what_an_engine_cannot_do_is_known_before_it_starts(
    nothing_runs: None,
    toy_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    installed: bool,
    said: str,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    tflite = changed(toy_bundle, lambda manifest: manifest.update(target="tflite"))
    code, sentence = refused(capsys, tflite, "--weights", "streamed" if installed else "packed")
    assert code == 2 and said in sentence


@linux_only
def test_a_profile_that_is_ended_leaves_no_process_behind(toy_bundle: Path) -> None:
    command = [sys.executable, "-m", "lira_runtime.memory.profile_cli", str(toy_bundle), "--steps", "1000"]
    profile = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{profile.pid}/task/{profile.pid}/children")
    while not (started := children.read_text().split()) and profile.poll() is None:
        time.sleep(0.01)
    profile.send_signal(signal.SIGTERM)
    _, said = profile.communicate(timeout=30)
    assert started and profile.returncode == 130 and said.splitlines()[-1] == "error: interrupted."
    until = time.monotonic() + 10  # the system kills what the profiler could not wait for any more
    while alive := [child for child in started if Path(f"/proc/{child}").exists()]:
        assert time.monotonic() < until, alive
        time.sleep(0.01)


def test_a_picture_without_matplotlib_is_refused_before_the_work(
    nothing_runs: None,
    toy_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, said = refused(capsys, toy_bundle, "--png", tmp_path / "plot.png")
    assert code == 2 and "pip install matplotlib" in said


@pytest.mark.parametrize(("prompt", "said"), [(" ", "the prompt is empty"), ("a \udcff", "not valid Unicode")])
def test_a_prompt_that_is_none_is_refused_before_a_process_starts(
    toy_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], prompt: str, said: str
) -> None:
    monkeypatch.setattr(memory_profile, "watch_order", lambda *_: pytest.fail("a process has started"))
    code, sentence = refused(capsys, toy_bundle, "--prompt", prompt)
    assert code == 2 and said in sentence


def test_a_core_ml_bundle_cannot_be_measured_here(
    nothing_runs: None, toy_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused(capsys, changed(toy_bundle, lambda manifest: manifest.update(target="coreml")))
    assert code == 2 and "Core ML bundle" in said


@pytest.mark.parametrize(
    ("arguments", "wanted"), [(["--resolution", "64"], "at 16 px, not at 64"), (["--steps", "0"], "--steps")]
)
def test_what_the_bundle_cannot_do_is_bad_input(
    nothing_runs: None, toy_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: str
) -> None:
    code, said = refused(capsys, toy_bundle, *arguments)
    assert code == 2 and wanted in said


def test_a_damaged_bundle_is_not_profiled(
    nothing_runs: None, toy_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy_bundle / "decoder.onnx.data").write_bytes(b"")
    assert refused(capsys, toy_bundle)[0] == 5


def test_the_watcher_itself_stays_small() -> None:
    """The kernel adds to a child's peak what its parent held when it started it."""
    script = "import sys, lira_runtime.memory.profile_cli; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not set(said.split()) & {"onnxruntime", "tokenizers", "PIL", "matplotlib", "ai_edge_litert", "torch"}

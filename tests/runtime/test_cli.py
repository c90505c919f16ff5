import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from event_lines import read_events
from PIL import Image
from toy_bundle import GUIDANCE, METHOD, STEPS, write_toy_bundle
from toy_reference import assert_exact_pixels, toy_image, toy_steps

from lira_runtime import manifest
from lira_runtime.cli import main
from lira_runtime.files import sha256_of

RUNTIME = Path(__file__).parents[2] / "runtime"
COMMAND = [sys.executable, "-m", "lira_runtime.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(RUNTIME)}


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def assert_refused(code: int, wanted: int, out_folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert code == wanted
    assert captured.out == ""
    lines = captured.err.splitlines(keepends=True)
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ") and lines[0].endswith("\n")
    assert not [name for name in os.listdir(out_folder) if name.endswith((".png", ".part"))]
    return lines[0]


@pytest.mark.parametrize("flags", [["--weights", "mapped"], ["--weights", "streamed"], ["--keep-loaded"]])
def test_where_weights_lie_changes_no_pixel(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    if "streamed" in flags and sys.platform != "linux":
        pytest.skip("weights are streamed on Linux alone")
    monkeypatch.setenv("LIRA_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "cat.png"
    assert run(toy_bundle, "a cat", "--out", out, "--seed", "3", "--steps", "3", "--threads", "1", *flags) == 0
    with Image.open(out) as image:
        assert_exact_pixels(np.asarray(image), toy_image(toy_steps("a cat", 3, 3, GUIDANCE, METHOD)[1]))
    assert any((tmp_path / "cache").glob("*-*")) == ("--weights" in flags)


@pytest.mark.parametrize("flags", [[], ["--weights", "packed"]])
def test_weights_are_loaded_as_the_bundle_says_unless_told_otherwise(
    toy_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setenv("LIRA_CACHE", str(tmp_path / "cache"))
    manifest.save(msgspec.structs.replace(manifest.load(toy_bundle), weights="mapped"), toy_bundle)
    assert run(toy_bundle, "a cat", "--out", tmp_path / "cat.png", "--steps", "1", *flags) == 0
    assert any((tmp_path / "cache").glob("*-*")) == (not flags)


def test_it_writes_a_png_that_says_how_it_was_made(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "apple.png"
    prompt = "a red apple 🍎"
    flags = ["--seed", "7", "--steps", "5", "--guidance", "4", "--sampler", "euler", "--threads", "1"]
    assert run(toy_bundle, prompt, "--out", out, *flags) == 0
    with Image.open(out) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (16, 16), "RGB")
        assert image.info == {
            "Software": "LiRA",
            "prompt": prompt,
            "seed": "7",
            "steps": "5",
            "sampler": "euler",
            "guidance": "4",
            "bundle": sha256_of(toy_bundle / "manifest.json"),
        }
        pixels = np.asarray(image)
    assert_exact_pixels(pixels, toy_image(toy_steps(prompt, 7, 5, 4.0, "euler")[1]))
    table = capsys.readouterr().out
    for word in ("text_encoder", "denoiser", "decoder", "seconds", "peak MB", str(out)):
        assert word in table


def test_the_same_command_gives_the_same_bytes(toy_bundle: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        assert run(toy_bundle, "a cat", "--out", tmp_path / name, "--seed", "3", "--no-spinning") == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_without_flags_the_image_has_seed_0_and_the_bundles_defaults(toy_bundle: Path, tmp_path: Path) -> None:
    assert run(toy_bundle, "a cat", "--out", tmp_path / "a.png") == 0
    with Image.open(tmp_path / "a.png") as image:
        pixels = np.asarray(image)
    assert_exact_pixels(pixels, toy_image(toy_steps("a cat", 0, STEPS, GUIDANCE, METHOD)[1]))


def test_a_resolution_of_several_is_drawn_and_another_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = tmp_path / "bundle", tmp_path / "a.png"
    write_toy_bundle(bundle, with_encoder=True, resolutions=(16, 24))
    assert_refused(run(bundle, "a cat", "--out", out, "--resolution", "0"), 2, tmp_path, capsys)
    code = run(bundle, "a cat", "--out", out, "--resolution", "32")
    assert "draws at 16, 24 px, not at 32" in assert_refused(code, 2, tmp_path, capsys)
    assert run(bundle, "a cat", "--out", out, "--resolution", "24") == 0
    with Image.open(out) as image:
        pixels = np.asarray(image)
    assert_exact_pixels(pixels, toy_image(toy_steps("a cat", 0, STEPS, GUIDANCE, METHOD, side=24)[1]))
    assert run(bundle, "a cat", "--image", out, "--out", tmp_path / "b.png", "--resolution", "24") == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (24, 24)


def test_json_is_one_event_a_line_on_stdout(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "apple.png"
    assert run(toy_bundle, "a cat", "--out", out, "--steps", "3", "--json") == 0
    captured = capsys.readouterr()
    *progress, result = read_events(captured.out)
    assert not captured.err and result["event"] == "result"
    assert result["file"] == str(out)
    assert set(result["stages"]) == {"text_encoder", "denoiser", "decoder"}
    assert result["peak_bytes"] >= max(stage["peak_bytes"] for stage in result["stages"].values()) > 0
    assert result["seconds"] == pytest.approx(sum(s["seconds"] for s in result["stages"].values()), abs=1e-3)
    assert [each["done"] for each in progress] == [1, 2, 3]


def test_a_500_token_prompt_is_one_sentence_and_exit_code_2(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy_bundle, "cat " * 500, "--out", tmp_path / "a.png") == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ") and stderr.count("\n") == 1 and "75 tokens" in stderr
    assert not (tmp_path / "a.png").exists()


def test_a_long_prompt_that_is_cut_is_noticed_on_stderr(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(toy_bundle, "cat " * 75 + "and a dog", "--cut", "--out", tmp_path / "a.png") == 0
    assert "notice" in (stderr := capsys.readouterr().err)
    assert "and a dog" in stderr


@pytest.mark.parametrize(
    "flags",
    [
        ["--steps", "0"],
        ["--steps", "-1"],
        ["--steps", "1001"],
        ["--steps", "many"],
        ["--guidance", "nan"],
        ["--guidance", "inf"],
        ["--guidance", "-1"],
        ["--guidance", "much"],
        ["--seed", "apple"],
        ["--seed", "-1"],
        ["--seed", "1.5"],
        ["--seed", str(2**64)],
        ["--sampler", "heun"],
        ["--threads", "-1"],
        ["--surprise"],
    ],
)
def test_a_bad_flag_is_refused(
    toy_bundle: Path, tmp_path: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(toy_bundle, "a cat", "--out", tmp_path / "a.png", *flags)
    assert_refused(code, 2, tmp_path, capsys)


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_an_empty_prompt_is_refused(
    toy_bundle: Path, tmp_path: Path, prompt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(toy_bundle, prompt, "--out", tmp_path / "a.png")
    assert "empty" in assert_refused(code, 2, tmp_path, capsys)


def test_a_missing_bundle_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(tmp_path / "none", "a cat", "--out", tmp_path / "a.png")
    assert "no bundle" in assert_refused(code, 2, tmp_path, capsys)


def test_an_impossible_place_for_the_image_is_refused_before_any_work(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "directory" in assert_refused(run(toy_bundle, "a cat", "--out", tmp_path), 2, tmp_path, capsys)
    code = run(toy_bundle, "a cat", "--out", tmp_path / "none" / "a.png")
    assert "does not exist" in assert_refused(code, 2, tmp_path, capsys)
    code = run(toy_bundle, "a cat", "--out", tmp_path / ("a" * 300 + ".png"))
    assert_refused(code, 2, tmp_path, capsys)


@pytest.mark.parametrize("name", ["text_encoder.onnx", "denoiser.onnx.data", "decoder.onnx", "tokenizer.json"])
def test_one_flipped_byte_is_a_damaged_bundle(
    toy_bundle: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((toy_bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (toy_bundle / name).write_bytes(content)
    code = run(toy_bundle, "a cat", "--out", tmp_path / "a.png")
    assert name in assert_refused(code, 5, tmp_path, capsys)


@pytest.mark.parametrize("manifest", [b"", b"{}", b"not json", b'{"format_version": 2}', b'{"format_version": 99}'])
def test_a_damaged_manifest_is_a_damaged_bundle(
    toy_bundle: Path, tmp_path: Path, manifest: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy_bundle / "manifest.json").write_bytes(manifest)
    code = run(toy_bundle, "a cat", "--out", tmp_path / "a.png")
    assert_refused(code, 5, tmp_path, capsys)


def test_a_graph_that_returns_no_numbers_exits_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy_bundle(tmp_path / "bad", denoiser_gain=float("inf"))
    assert_refused(run(tmp_path / "bad", "a cat", "--out", tmp_path / "a.png"), 4, tmp_path, capsys)


def test_a_write_that_fails_leaves_the_old_image_and_no_litter(toy_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_text("old")
    result = subprocess.run(
        [*COMMAND, str(toy_bundle), "a cat", "--out", str(folder / "a.png"), "--json"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        # No file may grow past 16 bytes: the closest thing to a full disk that needs no privileges.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16)),
    )
    assert result.returncode == 2
    *progress, last = read_events(result.stdout)
    assert result.stderr == f"error: {last['message']}\n" and last["exit_code"] == 2
    assert [each["event"] for each in progress] == ["progress"] * STEPS
    assert os.listdir(folder) == ["a.png"]
    assert (folder / "a.png").read_text() == "old"


def test_interrupting_exits_with_130_and_writes_nothing(toy_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    process = subprocess.Popen(
        [*COMMAND, str(toy_bundle), "a cat", "--out", str(out), "--steps", "1000", "--json"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # readline() below must leave the rest to communicate()
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # a thousand progress lines fill the pipe, so it cannot finish before the signal
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    # click ends the line of a terminal's ^C before it passes the interrupt on: one blank line, in a pipe too.
    assert stderr.decode().split("\n") == ["", "error: interrupted.", ""]
    *progress, last = read_events((first + stdout).decode())
    assert {each["event"] for each in progress} <= {"progress"}
    assert (last["code"], last["exit_code"]) == ("interrupted", 130)
    assert not out.exists()


def test_a_picture_leaves_nothing_in_the_home_folder(toy_bundle: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("XDG_", "ORT_"))}
    command = [*COMMAND, str(toy_bundle), "a cat", "--out", str(tmp_path / "a.png")]
    subprocess.run(command, env={**kept, "HOME": str(home)}, check=True, capture_output=True)
    assert list(home.rglob("*")) == [], "onnxruntime's telemetry keeps its events there"


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in ("2 bad input", "4 parity lost", "5 damaged or untrusted bundle", "130 interrupted"):
        assert part in text

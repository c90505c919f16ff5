"""`lira-compare` as a user types it: what its figures say, that the page stands alone, and what it refuses."""

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from event_lines import read_events
from PIL import Image
from toy_bundle import GUIDANCE, METHOD, STEPS, write_toy_bundle
from toy_reference import toy_steps

from lira.evaluation.eager import draw_batch
from lira.sources import Models
from lira_export.compare.cli import SHEET_SIDE, main
from lira_export.compare.origin import models_of
from lira_runtime import cli as generate
from lira_runtime import manifest
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.noise import initial_noise
from lira_runtime.sampler import shifted_sigmas

PROMPTS = ("a red apple", 'two <b>birds</b> & a "cat"')
GAIN = 1.02
SEED = 7
COLUMNS = ("plain", "loud")
Ran = tuple[int, str, str]
Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bundles: plain; loud, whose velocity is a little too large; broken, whose velocity is no number."""
    folder = tmp_path_factory.mktemp("toys")
    write_toy_bundle(folder / "plain")
    write_toy_bundle(folder / "loud", GAIN)
    write_toy_bundle(folder / "broken", np.inf)
    return folder


@dataclass(frozen=True)
class Compared:
    """plain and loud on both prompts, in a process: what it printed and wrote, and `lira-generate`'s pixels."""

    out: str
    err: str
    html: str
    sheet: np.ndarray
    pixels: dict[tuple[str, str], np.ndarray]


@pytest.fixture(scope="module")
def compared(toys: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp("compared")
    page, sheet = folder / "page.html", folder / "sheet.png"
    files = ["--html", str(page), "--sheet", str(sheet)]
    command = [sys.executable, "-m", "lira_export.compare.cli", str(toys / "plain"), str(toys / "loud"), *files]
    command += ["--seed", str(SEED), "--json", *prompts(*PROMPTS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pixels = {(name, prompt): generated(toys / name, prompt, folder) for name in COLUMNS for prompt in PROMPTS}
    return Compared(done.stdout, done.stderr, page.read_text(encoding="utf-8"), pixels_of(sheet), pixels)


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Run:
    """`lira-compare` with these arguments -> exit code, stdout, stderr."""

    def run(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def generated(bundle: Path, prompt: str, folder: Path) -> np.ndarray:
    """The pixels of `lira-generate`."""
    out = folder / f"{bundle.name}.png"
    with pytest.raises(SystemExit):
        generate.main([str(bundle), prompt, "--out", str(out), "--seed", str(SEED)])
    return pixels_of(out)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def prompts(*texts: str) -> list[str]:
    return [word for text in texts for word in ("--prompt", text)]


class Page(HTMLParser):
    """Tags with their attributes, the text outside of style, and tags that were opened but not closed."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def pictures(self) -> list[np.ndarray]:
        found = [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]
        encoded = [source.removeprefix("data:image/png;base64,") for source in found]
        return [np.asarray(Image.open(BytesIO(base64.b64decode(text, validate=True)))) for text in encoded]


def columns_of(out: str) -> dict[str, Any]:
    return {column["name"]: column for column in read_events(out)[-1]["columns"]}


def test_a_changed_gain_shows_as_the_decibels_that_numpy_finds(compared: Compared) -> None:
    drawn = columns_of(compared.out)["loud"]["drawn"]
    for prompt, found in zip(PROMPTS, drawn, strict=True):
        a, b = (compared.pixels[name, prompt].astype(float) for name in COLUMNS)
        assert found["picture_db"] == pytest.approx(10 * np.log10(255**2 / np.mean((a - b) ** 2)), abs=1e-6)
    # At the first step both see the same noise, so that x0 = x - v and the gain alone makes the difference.
    step = toy_steps(PROMPTS[0], SEED, STEPS, GUIDANCE, METHOD)[0][0]
    noise = initial_noise(SEED, step.x0.shape)
    error = (GAIN - 1) * (noise - step.x0)
    wanted = 20 * np.log10(np.abs(step.x0).max() / np.sqrt(np.mean(error**2)))
    assert len(drawn[0]["drift_db"]) == STEPS
    assert drawn[0]["drift_db"][0] == pytest.approx(wanted, abs=1e-3)


def test_progress_is_a_json_line_a_step_under_the_name_of_who_draws(compared: Compared) -> None:
    *lines, _ = read_events(compared.out)
    assert not compared.err
    assert [line["note"] for line in lines] == [name for name in COLUMNS for _ in range(STEPS * len(PROMPTS))]
    assert lines[-1]["done"] == lines[-1]["total"] == len(lines)


def test_the_same_bundle_again_is_equal(toys: Path, tmp_path: Path, compare: Run) -> None:
    arguments = [toys / "plain", toys / "plain", "--html", tmp_path / "page.html", *prompts(PROMPTS[0])]
    code, out, _ = compare(*arguments)
    head, first, again, *engines, wrote = out.splitlines()
    assert code == 0 and wrote == f"wrote {tmp_path / 'page.html'}"
    assert engines == ["plain: onnxruntime.", "plain (2): onnxruntime."]
    assert head.split()[:4] == ["bundle", "format", "recipe", "MB"]
    assert first.split()[:5] == ["plain", "onnx", "fp32", "0.1", "reference"]
    assert again.split()[:7] == ["plain", "(2)", "onnx", "fp32", "0.1", "equal", "equal"]


def test_the_page_stands_alone_and_shows_every_picture(compared: Compared) -> None:
    html = compared.html
    parsed = Page(html)
    assert parsed.open == []
    text = " ".join(parsed.text)
    assert all(name in text for name in ("plain", "loud", *PROMPTS, "reference"))
    assert "http" not in html and "url(" not in html
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object", "a"}
    assert all((attributes.get("src") or "data:").startswith("data:") for _, attributes in parsed.tags)
    assert any(a == {"name": "viewport", "content": "width=device-width, initial-scale=1"} for _, a in parsed.tags)
    shown = parsed.pictures()
    assert len(shown) == len(PROMPTS) * 3  # two pictures and a plot
    for row, prompt in enumerate(PROMPTS):
        for column, name in enumerate(COLUMNS):
            np.testing.assert_array_equal(shown[3 * row + column], compared.pixels[name, prompt])


def test_the_sheet_has_a_row_for_each_prompt_and_a_column_for_each_bundle(compared: Compared) -> None:
    height = len(compared.sheet) // len(PROMPTS)
    assert compared.sheet.shape[1] == len(COLUMNS) * SHEET_SIDE and height > SHEET_SIDE
    for row, prompt in enumerate(PROMPTS):
        for column, name in enumerate(COLUMNS):
            picture = Image.fromarray(compared.pixels[name, prompt])
            wanted = np.asarray(picture.resize((SHEET_SIDE, SHEET_SIDE), Image.Resampling.LANCZOS))
            left, top = column * SHEET_SIDE, row * height
            np.testing.assert_array_equal(compared.sheet[top : top + SHEET_SIDE, left : left + SHEET_SIDE], wanted)


def test_the_first_bundles_sampler_holds_for_all_and_the_page_says_so(toys: Path, tmp_path: Path, compare: Run) -> None:
    write_toy_bundle(tmp_path / "other")
    resave(tmp_path / "other", sampler=manifest.SamplerDefaults(method="euler", steps=9, shift=1.0, guidance=2.0))
    page = tmp_path / "page.html"
    code, out, _ = compare(toys / "plain", tmp_path / "other", "--html", page, "--json", *prompts(PROMPTS[0]))
    assert code == 0 and read_events(out)[-1]["asked"]["method"] == METHOD
    drawn = columns_of(out)["other"]["drawn"][0]
    assert [drawn["picture_db"], *drawn["drift_db"]] == [200.0] * (STEPS + 1)
    assert "other has other sampler defaults" in " ".join(Page(page.read_text()).text)


def test_the_eager_model_is_the_reference_that_was_exported(
    bundle_folder: Path, small_models: Models, tmp_path: Path, compare: Run
) -> None:
    page = tmp_path / "page.html"
    settings = ["--steps", 2, "--guidance", 2, "--seed", SEED, "--threads", 1, "--html", page]
    code, out, err = compare(bundle_folder, "--eager", *settings, "--json", *prompts(PROMPTS[0]))
    assert code == 0, err
    assert read_events(out)[-1]["reference"] == "eager"
    eager, bundle, _ = Page(page.read_text()).pictures()
    sigmas = shifted_sigmas(2, small_models.sampler.shift)
    (wanted,) = draw_batch(small_models, [PROMPTS[0]], SEED, sigmas, 2.0)
    assert np.abs(eager.astype(int) - wanted).max() <= 1
    wide = (bundle.astype(float) - eager) ** 2
    found = columns_of(out)[bundle_folder.name]["drawn"][0]["picture_db"]
    assert found == pytest.approx(10 * np.log10(255**2 / wide.mean()), abs=1e-6) and 25 < found < 100


def resave(bundle: Path, **changes: Any) -> None:
    manifest.save(msgspec.structs.replace(manifest.load(bundle), **changes), bundle)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"latent": manifest.Latent(name="other", channels=4, scale=2, patch_size=1)},
            "do not draw from the same noise",
        ),
        ({"preset": "nano"}, "do not draw from the same noise"),
    ],
)
def test_bundles_of_another_kind_are_refused(
    changes: dict[str, Any], sentence: str, toys: Path, tmp_path: Path, compare: Run
) -> None:
    write_toy_bundle(tmp_path / "other")
    resave(tmp_path / "other", **changes)
    ran = compare(toys / "plain", tmp_path / "other", "--html", tmp_path / "page.html", *prompts(PROMPTS[0]))
    assert_refused(ran, 2, sentence)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["plain"], 2, "nothing to compare"),
        (["plain", "nowhere"], 2, "no bundle at"),
        (["plain", "loud", "--resolution", "32"], 2, "draws at 16 px, not at 32"),
        (["plain", "loud", "--prompt", " "], 2, "the prompt is empty"),
        (["plain", "loud", "--prompt", "cat " * 100], 2, "longer than the 75 tokens"),
        (["plain", "loud", "--guidance", "nan"], 2, "guidance"),
        (["plain", "loud", "--steps", "0"], 2, "--steps"),
        (["plain", "loud", "--checkpoint", "x"], 2, "--checkpoint belongs to --eager"),
        (["plain", "broken"], 4, "broken: the denoiser returned velocity"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence_and_writes_nothing(
    arguments: list[str], code: int, sentence: str, toys: Path, tmp_path: Path, compare: Run
) -> None:
    named = [toys / word if word in ("plain", "loud", "broken", "nowhere") else word for word in arguments]
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.png"
    page.write_text("an older page")
    assert_refused(compare(*named, "--html", page, "--sheet", sheet, *prompts(PROMPTS[0])), code, sentence)
    assert page.read_text() == "an older page" and list(tmp_path.iterdir()) == [page]


@pytest.mark.parametrize("place", ["", "missing/page.html"])
def test_an_impossible_place_is_refused_before_work(place: str, tmp_path: Path, compare: Run) -> None:
    ran = compare("no-bundle", "no-other", "--html", tmp_path / place, *prompts(PROMPTS[0]))
    assert_refused(ran, 2, str(tmp_path / place).removesuffix("/page.html"))


def test_eager_weights_of_another_digest_are_refused(bundle_folder: Path, tmp_path: Path, compare: Run) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in bundle_folder.iterdir():
        shutil.copy2(file, other / file.name)
    written = manifest.load(other)
    (other / "manifest.json").unlink()
    source = msgspec.structs.replace(written.source, digest="1" * 64)
    manifest.save(msgspec.structs.replace(written, source=source), other)
    ran = compare(other, "--eager", "--html", tmp_path / "page.html", *prompts(PROMPTS[0]))
    assert_refused(ran, 2, "exported from other weights")
    assert list(tmp_path.iterdir()) == [other]


def test_models_that_cannot_be_built_again_are_refused(toys: Path, bundle_folder: Path) -> None:
    with pytest.raises(BadInput, match="width 4, which no text encoder"):
        models_of(Bundle.open(toys / "plain"), None)
    bundle = Bundle.open(bundle_folder)
    source = manifest.Source(digest="1" * 64, weights="checkpoint")
    trained = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, source=source))
    with pytest.raises(BadInput, match="--checkpoint DIR"):
        models_of(trained, None)
    with pytest.raises(BadInput, match="/nowhere is not a directory"):
        models_of(trained, Path("/nowhere"))


def test_the_drawing_process_of_a_bundle_holds_no_torch() -> None:
    code = "import sys, lira_export.compare.draw; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def assert_refused(ran: Ran, code: int, sentence: str) -> None:
    """One line of complaint, after progress of those that did draw."""
    found, out, err = ran
    lines = [line for line in err.splitlines() if not line.startswith("drawing ")]
    assert (found, out) == (code, "") and len(lines) == 1, err
    assert lines[0].startswith("error: ") and sentence in lines[0], err

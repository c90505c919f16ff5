"""Drawings that start from a picture, on the toy bundle whose image encoder is the exact inverse of its decoder."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from event_lines import read_events
from PIL import Image
from test_cli import assert_refused, run
from test_pipeline import Recording, final
from toy_bundle import GAINS, LATENT_SHAPE, MEAN, OFFSETS, RAMP, RESOLUTION, SCALE, SHIFT, write_toy_bundle
from toy_reference import toy_velocity

from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.files import sha256_of
from lira_runtime.noise import initial_noise
from lira_runtime.pipeline import DenoisingStep, Pipeline, Request, StageFinished

SIDE = RESOLUTION


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    goal = tmp_path_factory.mktemp("toy") / "bundle"
    write_toy_bundle(goal, with_encoder=True)
    return Bundle.open(goal)


@pytest.fixture
def picture() -> np.ndarray:
    """What the toy's decoder can draw: squares of 2 x 2 px in random colours, under its ramp, within [0, 1]."""
    colours = np.random.default_rng(3).uniform(0.41, 0.59, (SIDE // SCALE, SIDE // SCALE, 3))
    shaded = colours.repeat(SCALE, axis=0).repeat(SCALE, axis=1) + RAMP.reshape(SIDE, 1, 1)
    return np.round(255 * shaded).astype(np.uint8)


def clean_latent(picture: np.ndarray) -> np.ndarray:
    """The toy encoder's answer, in float64."""
    flat = picture / 255 - RAMP.reshape(SIDE, 1, 1)
    small = flat.reshape(SIDE // SCALE, SCALE, SIDE // SCALE, SCALE, 3).mean(axis=(1, 3)).transpose(2, 0, 1)[None]
    return np.concatenate([(small - OFFSETS) / GAINS, np.full((1, 1, *LATENT_SHAPE[2:]), MEAN)], axis=1)


@pytest.mark.parametrize("method", ["dpm", "euler"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_strength_1_is_plain_generation_bit_for_bit(
    bundle: Bundle, picture: np.ndarray, method: str, guidance: float
) -> None:
    pipeline = Pipeline(bundle)
    plain = final(pipeline, Request("a cat", 7, 6, guidance, method))
    whole = final(pipeline, Request("a cat", 7, 6, guidance, method, picture=picture, strength=1.0))
    assert whole.latent.tobytes() == plain.latent.tobytes()
    assert whole.image.tobytes() == plain.image.tobytes()


def test_the_least_strength_gives_the_picture_back(bundle: Bundle, picture: np.ndarray) -> None:
    result = final(Pipeline(bundle), Request("a cat", 7, 1000, picture=picture, strength=0.001))
    difference = np.abs(result.image.astype(int) - picture)
    assert difference.max() <= 3, "one step of a thousand, at sigma 0.003"
    plain = final(Pipeline(bundle), Request("a cat", 7, 1000))
    assert np.abs(plain.image.astype(int) - picture).max() > 30, "this toy would prove little"


def test_more_strength_goes_further_from_the_picture(bundle: Bundle, picture: np.ndarray) -> None:
    def distance(strength: float) -> float:
        result = final(Pipeline(bundle), Request("a cat", 7, 50, picture=picture, strength=strength))
        return float(np.square(result.latent - clean_latent(picture)).mean())

    distances = [distance(strength) for strength in (0.02, 0.2, 0.6, 1.0)]
    assert distances == sorted(distances) and distances[-1] > 10 * distances[0]


@pytest.mark.parametrize(
    ("steps", "strength", "run_steps"),
    [
        (4, 0.5, 2),
        (10, 0.6, 6),
        (10, 0.64, 6),
        (10, 0.66, 7),
        (10, 0.97, 10),
        (10, 0.01, 1),
        (1, 0.3, 1),
        (20, None, 12),
    ],
)
def test_the_latent_starts_at_the_sigma_of_the_strength(
    bundle: Bundle, picture: np.ndarray, steps: int, strength: float | None, run_steps: int
) -> None:
    """Euler, written out: the picture's latent and the seed's noise, mixed, then the last steps of the schedule."""
    even = [count / steps for count in range(run_steps, -1, -1)]
    sigmas = [SHIFT * u / (1 + (SHIFT - 1) * u) for u in even]
    x: Any = (1 - sigmas[0]) * clean_latent(picture) + sigmas[0] * initial_noise(5, LATENT_SHAPE).astype(np.float64)
    for sigma, sigma_next in zip(sigmas, sigmas[1:], strict=False):
        x = x + (sigma_next - sigma) * toy_velocity("a cat", x, sigma)
    request = Request("a cat", 5, steps, 1.0, "euler", picture=picture, strength=strength)
    events = list(Pipeline(bundle).generate(request))
    seen = [event for event in events if isinstance(event, DenoisingStep)]
    assert [event.index for event in seen] == list(range(run_steps)) and {event.total for event in seen} == {run_steps}
    np.testing.assert_allclose([event.sigma for event in seen], sigmas[:-1], rtol=1e-12)
    np.testing.assert_allclose(events[-1].latent, x, rtol=0, atol=3e-5)  # type: ignore[union-attr]


def test_the_encoder_runs_once_between_text_encoder_and_denoiser_and_is_unloaded(
    bundle: Bundle, picture: np.ndarray
) -> None:
    backend = Recording()
    request = Request("a cat", steps=4, guidance=2.0, picture=picture, strength=0.5)
    events = list(Pipeline(bundle, backend).generate(request))
    assert backend.diary == [
        *("load text_encoder", "run", "unload"),
        *("load image_encoder", "run", "unload"),
        *("load denoiser", *["run"] * 4, "unload"),
        *("load decoder", "run", "unload"),
    ]
    finished = [event for event in events if isinstance(event, StageFinished)]
    assert [event.stage for event in finished] == ["text_encoder", "image_encoder", "denoiser", "decoder"]
    assert all(event.seconds > 0 and event.peak_bytes > 10 << 20 for event in finished)


def test_without_a_picture_the_encoder_stays_on_disk(bundle: Bundle) -> None:
    backend = Recording()
    final(Pipeline(bundle, backend), Request("a cat"))
    assert [line for line in backend.diary if "load " in line] == ["load text_encoder", "load denoiser", "load decoder"]


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.0001, float("nan"), float("inf")])
def test_a_strength_out_of_range_is_refused(bundle: Bundle, picture: np.ndarray, strength: float) -> None:
    with pytest.raises(BadInput, match="strength"):
        Pipeline(bundle).generate(Request("a cat", picture=picture, strength=strength))


def test_pixels_of_another_size_or_kind_are_refused(bundle: Bundle, picture: np.ndarray) -> None:
    for wrong in (picture[1:], picture[..., 0], picture.astype(np.float32)):
        with pytest.raises(BadInput, match="16 x 16 px"):
            Pipeline(bundle).generate(Request("a cat", picture=wrong))


def test_the_command_draws_on_a_picture_and_says_so(
    bundle: Bundle, picture: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(picture).save(source)
    flags = ["--image", source, "--strength", "0.001", "--steps", "1000", "--seed", "7", "--json"]
    assert run(bundle.path, "a cat", "--out", out, *flags) == 0
    step, result = read_events(capsys.readouterr().out)
    assert list(result["stages"]) == ["text_encoder", "image_encoder", "denoiser", "decoder"]
    assert (step["event"], step["total"]) == ("progress", 1)
    with Image.open(out) as image:
        assert image.info["image"] == sha256_of(source)
        assert (image.info["strength"], image.info["steps"]) == ("0.001", "1000")
        assert np.abs(np.asarray(image).astype(int) - picture).max() <= 3


def test_what_cannot_start_from_a_picture_is_one_sentence_and_exit_code_2(
    bundle: Bundle, toy_bundle: Path, picture: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, good, out = tmp_path / "out", tmp_path / "in.jpg", tmp_path / "out" / "a.png"
    folder.mkdir()
    Image.fromarray(picture).save(good)
    damaged = tmp_path / "damaged.png"
    Image.fromarray(picture).save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:60])
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    for folder_of_bundle, flags, part in (
        (toy_bundle, ["--image", good], "no image encoder"),
        (bundle.path, ["--image", tmp_path / "none.png"], "no picture at"),
        (bundle.path, ["--image", tmp_path], "no picture at"),
        (bundle.path, ["--image", tmp_path / "text.png"], "cannot be read"),
        (bundle.path, ["--image", damaged], "cannot be read"),
        (bundle.path, ["--image", tmp_path / "deep.png"], "more than 8 bits"),
        (bundle.path, ["--image", good, "--strength", "0"], "strength"),
        (bundle.path, ["--image", good, "--strength", "1.5"], "strength"),
        (bundle.path, ["--image", good, "--strength", "nan"], "strength"),
        (bundle.path, ["--image", good, "--strength", "half"], "half"),
        (bundle.path, ["--strength", "0.5"], "--image"),
    ):
        code = run(folder_of_bundle, "a cat", "--out", out, *flags)
        assert part in assert_refused(code, 2, folder, capsys)
        assert os.listdir(folder) == []

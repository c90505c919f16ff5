"""The runtime passes every golden vector, and the vectors are those that their generator writes."""

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import files_vectors
import manifests_vectors
import noise_vectors
import numpy as np
import pixels_vectors
import pytest
import sampler_vectors
from noise_vectors import philox
from numpy.typing import NDArray
from packing import dump

from lira_runtime import sampler
from lira_runtime.image import to_pixels
from lira_runtime.noise import initial_noise
from lira_runtime.tokenizer import ClipTokenizer

HERE = Path(__file__).parent
MASK = 2**64 - 1
RELATIVE = 1e-6
"""Of a drawing's arrays: largest difference over the largest number."""


def read(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def floats(packed: str, shape: list[int]) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(packed), "<f4").reshape(shape)


@pytest.mark.parametrize(
    "make",
    [module.make for module in (noise_vectors, sampler_vectors, pixels_vectors, manifests_vectors, files_vectors)],
)
def test_the_generator_writes_the_same_bytes_again(make: Callable[[], Any], tmp_path: Path) -> None:
    name = make.__module__.removesuffix("_vectors")
    dump(tmp_path / "again.json", make())
    assert (tmp_path / "again.json").read_bytes() == (HERE / f"{name}.json").read_bytes()


def test_the_generator_finds_the_same_tokens_again(tmp_path: Path) -> None:
    pytest.importorskip("regex", reason="regex, which transformers brings, is not installed: no second reading")
    from tokens_vectors import make

    dump(tmp_path / "again.json", make(with_transformers=False))
    assert (tmp_path / "again.json").read_bytes() == (HERE / "tokens.json").read_bytes()


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
        ([MASK] * 4, [MASK] * 2, (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0)),
        (
            [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
            [0x452821E638D01377, 0xBE5466CF34E90C6C],
            (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
        ),
    ],
)
def test_the_generators_philox_gives_random123s_known_answers(
    counter: list[int], key: list[int], answer: tuple[int, ...]
) -> None:
    assert philox(counter, key) == list(answer)


@pytest.mark.parametrize("case", read("noise")["words"], ids=lambda case: case["seed"])
def test_words(case: Any) -> None:
    stream = np.random.Philox(key=int(case["seed"])).random_raw(len(case["words"]))
    assert [str(word) for word in stream] == case["words"]


@pytest.mark.parametrize("case", read("noise")["noise"], ids=lambda case: f"{case['seed']} {case['shape']}")
def test_noise(case: Any) -> None:
    found = initial_noise(int(case["seed"]), tuple(case["shape"]))
    np.testing.assert_array_equal(found, floats(case["values_f32"], case["shape"]), strict=True)


def schedule(case: Any) -> list[float]:
    every = sampler.shifted_sigmas(case["steps"], case["shift"])
    return every if case["strength"] is None else sampler.last_levels(every, case["strength"])


@pytest.mark.parametrize(
    "case", read("sampler")["schedules"], ids=lambda case: f"{case['steps']} {case['shift']} {case['strength']}"
)
def test_schedules(case: Any) -> None:
    np.testing.assert_allclose(schedule(case), case["sigmas"], rtol=0, atol=1e-14, strict=True)
    assert schedule(case)[-1] == 0 and (case["strength"] not in (None, 1) or schedule(case)[0] == 1)


def velocity(x: NDArray[np.float32], sigma: float, text: NDArray[np.float32]) -> NDArray[np.float32]:
    m, s, a = 0.7, 0.3, 1 - sigma
    best = m + a * s**2 / (a**2 * s**2 + sigma**2) * (x - a * m)
    return (x - best) / sigma - 0.5 * text


@pytest.mark.parametrize(
    "case",
    read("sampler")["runs"],
    ids=lambda case: " ".join(str(case[key]) for key in ("method", "steps", "shift", "guidance", "strength")),
)
def test_drawings(case: Any) -> None:
    shape, sigmas = case["shape"], schedule(case)
    x = initial_noise(int(case["seed"]), tuple(shape))
    if case["clean_f32"] is not None:
        x = sampler.noised(floats(case["clean_f32"], shape), x, sigmas[0])
    text, empty = floats(case["text_f32"], shape), floats(case["empty_f32"], shape)
    guided = sampler.guided(velocity, text, empty, case["guidance"])
    for step, wanted in zip(sampler.sample(guided, x, sigmas, case["method"]), case["steps_out"], strict=True):
        assert step.x.dtype == np.float32
        np.testing.assert_allclose((step.sigma, step.sigma_next), (wanted["sigma"], wanted["sigma_next"]), atol=1e-14)
        assert far(step.x, floats(wanted["x_f32"], shape)) < RELATIVE
        assert far(step.x0, floats(wanted["x0_f32"], shape)) < RELATIVE


def far(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.abs(found.astype(np.float64) - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("case", read("pixels")["images"], ids=lambda case: str(case["shape"]))
def test_pixels(case: Any) -> None:
    _, _, height, width = case["shape"]
    found = to_pixels(floats(case["image_f32"], case["shape"]))
    wanted = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8).reshape(height, width, 3)
    np.testing.assert_array_equal(found, wanted, strict=True)


def test_pixels_tell_float32_from_float64() -> None:
    """Or a reader that computes in another width would pass."""
    (case, *_) = read("pixels")["images"]
    wide = np.floor(np.clip(floats(case["image_f32"], case["shape"])[0].astype(np.float64), 0, 1) * 255 + 0.5)
    wanted = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8)
    assert math.prod(case["shape"]) > (wide.transpose(1, 2, 0).ravel() != wanted).sum() > 5


def test_tokens() -> None:
    tokenizer, wrong = ClipTokenizer.vendored(), []
    for case in read("tokens")["prompts"]:
        tokens = tokenizer.encode(case["prompt"])
        row = [49406, *case["ids"], *[49407] * (76 - len(case["ids"]))]
        if (tokens.ids.tolist(), tokens.dropped) != ([row], case["dropped"]):
            wrong.append(case["prompt"])
    assert not wrong


def test_the_prompts_are_500_of_many_scripts_and_some_are_cut() -> None:
    """Or the file might hold little and the test above would say little."""
    cases = read("tokens")["prompts"]
    assert len({case["prompt"] for case in cases}) == 500
    assert len({ord(char) >> 7 for case in cases for char in case["prompt"]}) > 180
    assert 30 < sum(case["dropped"] != "" for case in cases) < 100

"""Golden runs: what goes in, which numbers are kept, and that those stored are the graphs' own."""

import math
from pathlib import Path

import numpy as np
import pytest
from toy_bundle import D_TEXT, TEXT_WEIGHTS
from toy_reference import toy_image, toy_velocity

from lira_runtime.bundle import Bundle, read_tensor
from lira_runtime.golden import GoldenInputs
from lira_runtime.interface import TensorSpec, golden_count, golden_stride, interface
from lira_runtime.manifest import Graph
from lira_runtime.noise import initial_noise
from lira_runtime.tokenizer import ClipTokenizer

PROMPT, SEED, TIME = "a red apple on a blue background", 8, 0.5


@pytest.mark.parametrize("shape", [(1,), (1, 77, 768), (1, 32, 32, 32), (1, 3, 256, 256), (1, 3, 1024, 1024)])
def test_at_most_16384_numbers_are_kept_and_some_of_every_column(shape: tuple[int, ...]) -> None:
    count, k = math.prod(shape), golden_stride(math.prod(shape))
    kept = np.arange(count)[::k]
    assert len(kept) == golden_count(TensorSpec(name="x", shape=shape, dtype="float32")) <= 16_384
    assert len(kept) >= min(count, 8_000)
    assert len(set(kept % shape[-1])) == shape[-1]


def stored(bundle: Bundle, name: str) -> np.ndarray:
    golden = bundle.graph(name).golden
    assert golden is not None
    return read_tensor(bundle.path, golden)


def test_the_stored_outputs_are_those_of_the_documented_inputs(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    ids = ClipTokenizer.vendored().encode(PROMPT).ids.astype(np.float64)
    states = ids[..., None] / 49407 * TEXT_WEIGHTS
    np.testing.assert_allclose(stored(bundle, "text_encoder"), states.ravel(), rtol=1e-5)
    latent = initial_noise(SEED, (1, 4, 8, 8)).astype(np.float64)
    np.testing.assert_allclose(stored(bundle, "denoiser"), toy_velocity("", latent, TIME).ravel(), rtol=1e-4, atol=1e-5)
    picture = toy_image(latent).transpose(2, 0, 1)
    np.testing.assert_allclose(stored(bundle, "decoder"), picture.ravel(), rtol=1e-4, atol=1e-5)


def test_the_image_is_a_picture_and_without_an_empty_prompt_the_states_are_noise() -> None:
    inputs = GoldenInputs(ClipTokenizer.vendored(), None)
    tensors = interface((1, 4, 8, 8), 2, D_TEXT)

    def of(name: str) -> dict[str, np.ndarray]:
        return dict(inputs.of(Graph(path=name, entry="main", inputs=tensors[name][0], outputs=tensors[name][1])))

    image = of("image_encoder")["image"]
    assert image.shape == (1, 3, 16, 16) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1 and 0.2 < image.std() < 0.27 and abs(image.mean() - 0.5) < 0.03
    denoiser = of("denoiser")
    assert {name: value.dtype.name for name, value in denoiser.items()} == dict.fromkeys(denoiser, "float32")
    assert np.array_equal(denoiser["text_states"], initial_noise(SEED, (1, 77, D_TEXT)))
    assert denoiser["timestep"].tolist() == [TIME]

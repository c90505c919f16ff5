"""What real drawings give each component, against the tokenizer, the noise and the eager models themselves."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from lira.sources import Models
from lira_export.calibration import PROMPTS, SEED
from lira_export.coreml.drawings import real_inputs
from lira_export.recipes import FLOAT16
from lira_export.target import Job
from lira_runtime.noise import initial_noise
from lira_runtime.tokenizer import ClipTokenizer

SIDE, STEPS = 64, 3
Inputs = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def inputs(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inputs]:
    """A component's name and a resolution -> what it is given."""

    def given(name: str, resolution: int | None) -> list[dict[str, Any]]:
        folder = tmp_path_factory.getbasetemp()
        return list(real_inputs(Job(name, {}, {}, FLOAT16, small_models, folder, lambda line: None), resolution))

    with torch.inference_mode():
        yield given


def test_the_text_encoder_reads_every_prompt(inputs: Inputs) -> None:
    found = inputs("text_encoder", None)
    expected = [ClipTokenizer.vendored().encode(prompt).ids for prompt in PROMPTS]
    assert np.array_equal([each["input_ids"] for each in found], expected)


def test_the_denoiser_gets_two_short_drawings_one_of_the_empty_prompt(inputs: Inputs, small_models: Models) -> None:
    found = inputs("denoiser", SIDE)
    assert len(found) == 2 * STEPS
    for drawing, prompt in enumerate((PROMPTS[0], "")):
        steps = found[drawing * STEPS : (drawing + 1) * STEPS]
        np.testing.assert_array_equal(steps[0]["latent"], initial_noise(SEED + drawing, (1, 4, 8, 8)))
        text = small_models.text_encoder(torch.from_numpy(ClipTokenizer.vendored().encode(prompt).ids))
        assert all(np.array_equal(step["text_states"], text) for step in steps)
        times = [float(step["timestep"][0]) for step in steps]
        assert times == sorted(times, reverse=True) and 1 >= times[0] and times[-1] > 0


def test_the_decoder_gets_the_latents_at_the_drawings_ends(inputs: Inputs, small_models: Models) -> None:
    found, steps = inputs("decoder", SIDE), inputs("denoiser", SIDE)
    assert len(found) == 2
    for each, last in zip(found, (steps[STEPS - 1], steps[-1]), strict=True):
        velocity, _ = small_models.denoiser(*(torch.from_numpy(value) for value in last.values()))
        clean = last["latent"] - last["timestep"] * velocity.numpy()
        np.testing.assert_allclose(each["latent"], clean, atol=1e-5)


def test_other_components_get_none(inputs: Inputs) -> None:
    assert inputs("image_encoder", SIDE) == []

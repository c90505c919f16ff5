"""The committed demo weights: small, half precision, and of the shapes that the package builds."""

import json
from pathlib import Path

import pytest
import torch

import lira
from lira.autoencoder import load_encoder
from lira.checkpoint import load_module, load_tensors, read_metadata
from lira.decoder import TinyDecoder
from lira.latents import LATENT_KINDS
from lira.model import load_denoiser
from lira.text import load_text_encoder

WEIGHTS = Path(lira.__file__).parent / "weights"
FILES = sorted(WEIGHTS.glob("*.safetensors"))
STUDENT = WEIGHTS / "turbo" / "denoiser.safetensors"
LARGEST_BYTES, LARGEST_STUDENT_BYTES = 32 * 10**6, 16 * 10**6


def test_the_demos_weights_are_there_and_below_32_mb_together() -> None:
    assert {"encoder", "decoder", "text_encoder", "denoiser"} <= {path.stem for path in FILES}
    assert sum(path.stat().st_size for path in FILES) <= LARGEST_BYTES


def test_the_student_is_below_16_mb_finite_and_names_its_sampler() -> None:
    assert STUDENT.stat().st_size <= LARGEST_STUDENT_BYTES
    assert all(torch.isfinite(weight).all() for weight in load_denoiser(STUDENT).state_dict().values())
    sampler = json.loads(read_metadata(STUDENT)["sampler"])
    assert (sampler["steps"], sampler["guidance"]) == (4, 1.0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_weight_is_float16_and_finite(path: Path) -> None:
    numbers = [tensor for tensor in load_tensors(path)[0].values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in numbers} == {torch.float16}
    assert all(torch.isfinite(tensor).all() for tensor in numbers)


def test_the_weights_fit_the_demos_models() -> None:
    load_encoder(WEIGHTS / "encoder.safetensors")
    kind = read_metadata(WEIGHTS / "decoder.safetensors")["kind"]
    load_module(TinyDecoder(LATENT_KINDS[kind]), WEIGHTS / "decoder.safetensors")
    load_text_encoder(
        read_metadata(WEIGHTS / "text_encoder.safetensors")["preset"], WEIGHTS / "text_encoder.safetensors"
    )
    load_denoiser(WEIGHTS / "denoiser.safetensors")

"""Weights are not put together with encoders that they were not trained with, where that is known."""

import hashlib
import shutil
from pathlib import Path

import pytest

from lira.checkpoint import load_tensors, save_tensors
from lira.sources import WEIGHT_FILES, Request, demo_weights, load_models
from lira_runtime.errors import BadInput


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the demo's weights."""
    for name in (*WEIGHT_FILES, "encoder.safetensors"):
        shutil.copy(demo_weights() / name, tmp_path)
    return tmp_path


def rewrite(path: Path, factor: float = 1.0, **metadata: str) -> None:
    """Other metadata, and a scaling that is `factor` times as large."""
    tensors, stored = load_tensors(path)
    tensors |= {name: tensors[name] * factor for name in ("scaling",) if name in tensors}
    save_tensors(path, tensors, stored | metadata)


def digest_by_hand(checkpoint: Path) -> str:
    """Of the demo's text encoder as it is used, in float32; its file holds float16."""
    total = hashlib.sha256()
    for name, tensor in sorted(load_tensors(checkpoint / "text_encoder.safetensors")[0].items()):
        total.update(f"{name} torch.float32 {tuple(tensor.shape)}".encode() + tensor.float().numpy().tobytes())
    return total.hexdigest()


def test_a_denoiser_of_another_text_encoder_is_refused_and_of_the_same_one_loaded(checkpoint: Path) -> None:
    request = Request("nano", checkpoint=checkpoint)
    rewrite(checkpoint / "denoiser.safetensors", text_encoder="ab" * 32)
    with pytest.raises(BadInput, match="trained on the text states of another text encoder"):
        load_models(request)
    rewrite(checkpoint / "denoiser.safetensors", text_encoder=digest_by_hand(checkpoint))
    assert load_models(request).denoiser.d_text == 192


def test_an_image_encoder_of_other_statistics_than_the_decoders_is_refused(checkpoint: Path) -> None:
    request = Request("nano", checkpoint=checkpoint, with_encoder=True)
    assert load_models(request).image_encoder is not None
    rewrite(checkpoint / "encoder.safetensors", factor=1.05)
    with pytest.raises(BadInput, match=r"'encoder.safetensors' makes other latents .* their scaling is 1.03"):
        load_models(request)

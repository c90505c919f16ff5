"""The sampler that a checkpoint was made for reaches the bundle; the committed student borrows the demo's parts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lira import sources
from lira.checkpoint import load_tensors, save_tensors
from lira.sources import USUAL_SAMPLER, Request, demo_weights, load_models
from lira_runtime import manifest
from lira_runtime.errors import BadInput
from lira_runtime.manifest import SamplerDefaults

Run = Callable[..., tuple[int, str, str]]
FEW_STEPS = '{"method": "euler", "steps": 4, "shift": 2.0, "guidance": 1.0}'


def student(folder: Path, sampler: str) -> Path:
    """The demo's denoiser under another sampler, alone in `folder`."""
    folder.mkdir()
    tensors, metadata = load_tensors(demo_weights() / "denoiser.safetensors")
    save_tensors(folder / "denoiser.safetensors", tensors, {**metadata, "sampler": sampler})
    return folder


def whole(folder: Path) -> Path:
    for name in ("decoder.safetensors", "text_encoder.safetensors"):
        shutil.copy(demo_weights() / name, folder)
    return folder


def test_a_bundle_draws_by_the_sampler_that_its_denoiser_names(tmp_path: Path, run_export: Run) -> None:
    checkpoint, out = whole(student(tmp_path / "checkpoint", FEW_STEPS)), tmp_path / "bundle"
    arguments = ("--target", "onnx", "--config", "nano", "--component", "decoder", "--out", str(out))
    code, _, err = run_export(*arguments, "--checkpoint", str(checkpoint))
    assert code == 0, err
    assert manifest.load(out).sampler == SamplerDefaults(method="euler", steps=4, shift=2.0, guidance=1.0)


@pytest.mark.parametrize("sampler", ["four steps", '{"method": "heun", "steps": 4, "shift": 1.0, "guidance": 1.0}'])
def test_a_sampler_that_no_bundle_could_hold_is_refused(sampler: str, tmp_path: Path) -> None:
    checkpoint = whole(student(tmp_path / "checkpoint", sampler))
    with pytest.raises(BadInput, match="no usable sampler"):
        load_models(Request("nano", checkpoint=checkpoint))


def test_the_committed_student_is_drawn_with_the_demos_decoder_and_text_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = student(tmp_path / "turbo", FEW_STEPS)
    monkeypatch.setattr(sources, "turbo_weights", lambda: folder)
    monkeypatch.chdir(tmp_path)
    turbo, demo = load_models(Request("nano", checkpoint=Path("demo-turbo"))), load_models(Request("nano"))
    assert turbo.sampler.steps == 4 and demo.sampler == USUAL_SAMPLER
    assert (turbo.source.weights, turbo.resolution, turbo.kind) == ("demo", 256, demo.kind)
    assert turbo.source.digest != demo.source.digest
    ids = torch.tensor([[49406, 320, 49407]])
    assert torch.equal(turbo.text_encoder(ids), demo.text_encoder(ids))
    assert torch.equal(turbo.decoder.state_dict()["scaling"], demo.decoder.state_dict()["scaling"])


def test_a_folder_that_is_called_like_the_student_is_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo-turbo").mkdir()
    with pytest.raises(BadInput, match="demo-turbo lacks"):
        load_models(Request("nano", checkpoint=Path("demo-turbo")))

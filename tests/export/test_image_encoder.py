"""The optional image encoder of a bundle: it computes what the eager encoder does, and no bundle changes without it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderKL

from lira.autoencoder import load_encoder
from lira.sources import WEIGHT_FILES, Request, demo_weights, load_models
from lira_export.components import build_components
from lira_export.gates import check_files, inspect
from lira_export.onnx.target import OnnxTarget
from lira_export.parity import Sample, image_encoder_samples, outputs_of, psnr_db
from lira_export.recipes import get_recipe
from lira_export.target import Job
from lira_export.targets import TARGETS, make_target
from lira_runtime.bundle import Bundle
from lira_runtime.errors import ParityLost
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import TargetName

SMALL = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]

Run = Callable[..., tuple[int, str, str]]


def disc(side: int) -> np.ndarray:
    """A soft-edged orange disc on a blue ramp: (1, 3, side, side) float32 in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side] / side
    inside = 1 / (1 + np.exp(60 * (np.hypot(x - 0.45, y - 0.55) - 0.25)))
    disc_rgb, ramp = np.array([0.95, 0.55, 0.1]), np.stack([0.1 + 0 * x, 0.2 + 0.3 * y, 0.6 + 0.3 * x], axis=-1)
    image = inside[..., None] * disc_rgb + (1 - inside[..., None]) * ramp
    return image.transpose(2, 0, 1)[None].astype(np.float32)


def run(bundle: Bundle, component: str, value: np.ndarray) -> np.ndarray:
    backend, graph = make_target(bundle.manifest.target).backend(), bundle.graph(component)
    backend.load(graph, bundle.path)
    found = backend.run({graph.inputs[0].name: value})[graph.outputs[0].name]
    backend.unload()
    return found


@pytest.mark.parametrize("target", TARGETS)
@torch.inference_mode()
def test_the_demos_encoder_gives_the_eager_latent_and_its_decoder_the_picture(
    target: TargetName, decoders: Callable[[str], dict[TargetName, Path]]
) -> None:
    bundle = Bundle.open(decoders("int8")[target])
    assert bundle.manifest.partial
    assert [component.name for component in bundle.manifest.components] == ["decoder", "image_encoder"]
    parity = bundle.component("image_encoder").parity
    assert parity.passed and parity.float32_max_abs is not None and parity.float32_max_abs <= 1e-4
    assert 35 <= parity.threshold_db <= parity.psnr_db < 120
    image = disc(64)
    latent = run(bundle, "image_encoder", image)
    wanted = load_encoder(demo_weights() / "encoder.safetensors")(torch.from_numpy(image)).numpy()
    assert 35 <= psnr_db(latent, wanted) < 120
    assert psnr_db(run(bundle, "decoder", latent), image) >= 20, "they no longer speak of the same latent"


def test_a_bundle_without_encoder_has_three_components_and_is_whole(bundle_folder: Path) -> None:
    written = Bundle.open(bundle_folder).manifest
    assert not written.partial
    assert tuple(component.name for component in written.components) == COMPONENTS
    assert not list(bundle_folder.glob("image_encoder*"))


def test_the_digest_names_the_encoder_and_nothing_else_changes() -> None:
    plain, more = load_models(Request("nano")), load_models(Request("nano", with_encoder=True))
    assert plain.image_encoder is None and more.image_encoder is not None
    assert plain.source.digest != more.source.digest and plain.source.weights == more.source.weights == "demo"


def tiny_autoencoder(kind: str) -> AutoencoderKL | AutoencoderDC:
    """Random weights under diffusers' own classes, wide enough that int8 finds something to quantize."""
    torch.manual_seed(0)
    if kind == "f8c4":
        return AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(16,) * 4,
            norm_num_groups=4,
            latent_channels=4,
            scaling_factor=0.18215,
        ).eval()
    blocks = ("ResBlock",) * 4 + ("EfficientViTBlock",) * 2
    widths, depths, scales = (16, 16, 16, 16, 16, 64), (1,) * 6, ((),) * 5 + ((5,),)
    return AutoencoderDC(
        latent_channels=32,
        attention_head_dim=8,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=depths,
        decoder_layers_per_block=depths,
        encoder_qkv_multiscales=scales,
        decoder_qkv_multiscales=scales,
        scaling_factor=0.41407,
    ).eval()


@pytest.mark.parametrize(("kind", "scaling"), [("f8c4", 0.18215), ("f32c32", 0.41407)])
@torch.inference_mode()
def test_a_public_encoder_gives_what_diffusers_encodes_scaled(
    kind: str, scaling: float, tmp_path: Path, run_export: Run
) -> None:
    model, out = tiny_autoencoder(kind), tmp_path / "bundle"
    model.save_pretrained(tmp_path / "vae")
    small = ["--target", "onnx", "--config", "nano", "--latent", kind, "--resolution", "64", "--text-encoder", "demo"]
    code, _, err = run_export(*small, "--encoder", str(tmp_path), "--component", "decoder", "--out", str(out))
    assert code == 0, err
    image = disc(64)
    encoded = model.encode(2 * torch.from_numpy(image) - 1)
    hidden = encoded.latent_dist.mode() if kind == "f8c4" else encoded.latent
    assert psnr_db(run(Bundle.open(out), "image_encoder", image), scaling * hidden.numpy()) >= 35


@pytest.mark.parametrize("kind", ["f8c4", "f32c32"])
@pytest.mark.parametrize("target", ["coreml", pytest.param("tflite", marks=pytest.mark.slow)])
@torch.inference_mode()
def test_a_public_encoder_passes_the_gates_of_the_other_formats(target: TargetName, kind: str, tmp_path: Path) -> None:
    tiny_autoencoder(kind).save_pretrained(tmp_path / "vae")
    models = load_models(Request("nano", latent=kind, resolution=64, text_encoder="demo", encoder=str(tmp_path)))
    *_, component = build_components(models, 64, ())
    samples = image_encoder_samples(component, torch.Generator().manual_seed(0))
    made, recipe, folder = make_target(target), get_recipe("int8", target), tmp_path / "files"
    folder.mkdir()
    job = Job("image_encoder", {64: component}, {64: samples}, recipe, models, folder, lambda line: None)
    written = made.write(job)
    inspect(made, job, written, check_files(made, job, written))
    found = outputs_of(made.backend(), written.graphs[0], folder, samples)
    least = recipe.least_psnr_db["image_encoder"]
    assert all(psnr_db(latent, sample.reference) >= least for latent, sample in zip(found, samples, strict=True))


@torch.inference_mode()
def test_an_encoder_that_lost_what_it_computes_fails_the_export(tmp_path: Path) -> None:
    models = load_models(Request("nano", with_encoder=True))
    *_, component = build_components(models, models.resolution, ())
    (sample, *_) = image_encoder_samples(component, torch.Generator().manual_seed(0))
    wrong = Sample(sample.inputs, sample.reference + np.float32(0.01))
    side, recipe = models.resolution, get_recipe("int8", "onnx")
    job = Job("image_encoder", {side: component}, {side: [wrong]}, recipe, models, tmp_path, lambda line: None)
    with pytest.raises(ParityLost, match="image_encoder: the float32 graph"):
        OnnxTarget().write(job)


def test_an_encoder_that_is_not_there_is_one_sentence_and_exit_code_2(tmp_path: Path, run_export: Run) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "bundle"
    checkpoint.mkdir()
    for name in WEIGHT_FILES:
        (checkpoint / name).symlink_to(demo_weights() / name)
    demo = ["--target", "onnx", "--config", "nano"]
    for arguments, part in (
        ([*SMALL, "--with-encoder"], "--encoder DIR"),
        ([*demo, "--checkpoint", str(checkpoint), "--with-encoder"], "lacks encoder.safetensors"),
        ([*SMALL, "--encoder", str(tmp_path / "none")], "No autoencoder at"),
        ([*demo, "--encoder", str(tmp_path / "none")], "No weights at"),
    ):
        code, stdout, err = run_export(*arguments, "--out", str(out))
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert (code, stdout, len(errors)) == (2, "", 1) and part in errors[0] and err.splitlines()[-1] == errors[0]
        assert not out.exists()

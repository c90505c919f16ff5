"""The frozen encoders give what diffusers' own `encode` gives, scaled and shifted by hand; unfit ones are refused."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from safetensors.torch import load_file, save_file

from lira.autoencoder import DemoEncoder
from lira.checkpoint import save_module
from lira.encoders import load_frozen_encoder
from lira.latents import LATENT_KINDS
from lira_runtime.errors import BadInput

FLUX = {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False}
SD3 = {"latent_channels": 16, "scaling_factor": 1.5305, "shift_factor": 0.0609, "use_quant_conv": False}
SD1 = {"latent_channels": 4, "scaling_factor": 0.18215}


def tiny_kl(levels: int = 4, **config: object) -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(8,) * levels,
        norm_num_groups=4,
        **config,
    ).eval()


def tiny_dc(scaling: float = 0.41407, channels: int = 32) -> AutoencoderDC:
    torch.manual_seed(0)
    blocks = ("ResBlock",) * 4 + ("EfficientViTBlock",) * 2
    return AutoencoderDC(
        latent_channels=channels,
        attention_head_dim=8,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=(8, 8, 8, 8, 16, 64),
        decoder_block_out_channels=(8, 8, 8, 8, 16, 64),
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        encoder_qkv_multiscales=((),) * 5 + ((5,),),
        decoder_qkv_multiscales=((),) * 5 + ((5,),),
        scaling_factor=scaling,
    ).eval()


def images(batch: int = 2, height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("config", "kind"), [(FLUX, "f8c16"), (SD3, "f8c16"), (SD1, "f8c4")])
def test_kl_latents_are_the_mode_shifted_and_scaled(tmp_path: Path, config: dict, kind: str) -> None:
    model = tiny_kl(**config)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        mode = model.encode(images() * 2 - 1).latent_dist.mode()
        z = load_frozen_encoder(LATENT_KINDS[kind], tmp_path)(images())
    assert z.shape == (2, config["latent_channels"], 8, 12)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, (mode - config.get("shift_factor", 0)) * config["scaling_factor"])


def test_dc_ae_latents_are_scaled(tmp_path: Path) -> None:
    model = tiny_dc()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        latent = model.encode(images() * 2 - 1).latent
        z = load_frozen_encoder(LATENT_KINDS["f32c32"], tmp_path)(images())
    assert z.shape == (2, 32, 2, 3)
    torch.testing.assert_close(z, latent * 0.41407)


def test_the_encoder_of_a_pipeline_s_folder_is_found_and_half_precision_weights_compute_in_float32(
    tmp_path: Path,
) -> None:
    tiny_kl(**SD1).half().save_pretrained(tmp_path / "vae")
    encoder = load_frozen_encoder(LATENT_KINDS["f8c4"], tmp_path)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in encoder.parameters())
    assert not any("decoder" in name for name, _ in encoder.named_parameters())


def test_unfit_encoders_are_refused(tmp_path: Path) -> None:
    f8c16, f32c32, f8c4 = (LATENT_KINDS[name] for name in ("f8c16", "f32c32", "f8c4"))
    for folder, model in {
        "sd1": tiny_kl(**SD1),
        "shallow": tiny_kl(levels=3, **SD1),
        "sdxl": tiny_kl(**SD1 | {"scaling_factor": 0.13025}),
        "dc16": tiny_dc(channels=16),
        "dc-in": tiny_dc(scaling=0.3189),
    }.items():
        model.save_pretrained(tmp_path / folder)
    for kind, folder, message in (
        (f8c16, "sd1", "4 latent channels, f8c16 has 16"),
        (f32c32, "sd1", "is AutoencoderKL, f32c32 latents come from AutoencoderDC"),
        (f8c4, "shallow", "3 levels"),
        (f8c4, "sdxl", "scaling 0.13025 and shift 0.0; f8c4 latents have 0.18215 and 0.0"),
        (f32c32, "dc16", "16 latent channels, f32c32 has 32"),
        (f32c32, "dc-in", "scaling 0.3189"),
        (f8c4, "nothing", "No autoencoder at"),
    ):
        with pytest.raises(BadInput, match=message):
            load_frozen_encoder(kind, tmp_path / folder)


@pytest.mark.filterwarnings("error")
def test_a_repository_is_looked_for_in_the_hub_cache_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--some--pipeline", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    model = tiny_kl(**SD1)
    model.save_pretrained(repository / "snapshots" / commit / "vae")
    with torch.no_grad():
        mode = model.encode(images() * 2 - 1).latent_dist.mode()
        torch.testing.assert_close(load_frozen_encoder(LATENT_KINDS["f8c4"], "some/pipeline")(images()), mode * 0.18215)
    with pytest.raises(BadInput, match="nor in the hub cache"):
        load_frozen_encoder(LATENT_KINDS["f8c4"], "no-such/repository")


def test_missing_damaged_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    kind, model = LATENT_KINDS["f8c4"], tiny_kl(**SD1)
    model.save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: t for name, t in tensors.items() if name != "quant_conv.weight"}, weights)
    with pytest.raises(BadInput, match=r"it lacks quant_conv.weight \(8, 8, 1, 1\)"):
        load_frozen_encoder(kind, tmp_path)
    weights.write_bytes(b"damaged")
    with pytest.raises(BadInput, match="No weights could be loaded"):
        load_frozen_encoder(kind, tmp_path)
    weights.unlink()
    torch.save(tensors, tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(BadInput, match="No weights could be loaded"):
        load_frozen_encoder(kind, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(BadInput, match="is UNet2DModel"):
        load_frozen_encoder(kind, tmp_path)


def test_the_demo_s_encoder_is_loaded_for_its_own_kind_alone(tmp_path: Path) -> None:
    encoder = DemoEncoder(LATENT_KINDS["demo"]).eval()
    save_module(encoder, tmp_path / "encoder.safetensors", torch.float32, {"kind": "demo"})
    loaded = load_frozen_encoder(LATENT_KINDS["demo"], tmp_path / "encoder.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(loaded(images()), encoder(images()))
    save_module(DemoEncoder(LATENT_KINDS["f8c4"]), tmp_path / "other.safetensors", torch.float32, {"kind": "f8c4"})
    with pytest.raises(BadInput, match="for f8c4 latents, not demo"):
        load_frozen_encoder(LATENT_KINDS["demo"], tmp_path / "other.safetensors")

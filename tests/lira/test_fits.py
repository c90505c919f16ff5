"""Weights from others: what does not fit is one sentence that names the first tensor and both shapes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel

from lira.decoder import TinyDecoder
from lira.encoders import load_frozen_encoder
from lira.fits import check_finite, check_fits
from lira.latents import LATENT_KINDS
from lira.model import LiRAModel
from lira.sources import Request, load_models
from lira.text import TextEncoder, load_text_encoder
from lira_runtime.errors import BadInput

Tensors = dict[str, Tensor]
Change = Callable[[Tensors], Tensors]
FIRST = "encoder.layers.0.layer_norm1.weight"


def refused(call: Callable[[], object], code: str, *parts: str) -> None:
    with pytest.raises(BadInput) as error:
        call()
    sentence = str(error.value)
    assert error.value.code == code and all(part in sentence for part in parts), sentence
    assert sentence.endswith(".") and "\n" not in sentence


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny's shapes, as somebody else may write them: no metadata."""
    folder = tmp_path_factory.mktemp("checkpoint")
    kind, text = LATENT_KINDS["f8c4"], TextEncoder("demo")
    tiny = LiRAModel("tiny", kind.channels, text.width, kind.patch_size)
    for name, module in (("denoiser", tiny), ("decoder", TinyDecoder(kind)), ("text_encoder", text)):
        save_file(
            {key: value.contiguous() for key, value in module.state_dict().items()}, folder / f"{name}.safetensors"
        )
    return folder


def changed(checkpoint: Path, folder: Path, change: Change, name: str = "denoiser") -> Path:
    """A copy with one file changed; the others are links."""
    for path in checkpoint.iterdir():
        (folder / path.name).symlink_to(path)
    goal = folder / f"{name}.safetensors"
    goal.unlink()
    save_file(change(load_file(checkpoint / goal.name)), goal)
    return folder


def load(folder: Path, config: str = "tiny") -> object:
    return load_models(Request(config, latent="f8c4", resolution=64, text_encoder="demo", checkpoint=folder))


def test_whole_weights_of_others_are_read(checkpoint: Path) -> None:
    load(checkpoint)


def test_weights_of_another_preset_name_the_first_tensor_and_the_preset_that_they_are_of(checkpoint: Path) -> None:
    own = LiRAModel("nano", 4, 192, 2).state_dict()
    given = load_file(checkpoint / "denoiser.safetensors")
    first = next(name for name in own if name in given and given[name].shape != own[name].shape)
    shapes = f"{first} has shape {tuple(given[first].shape)} instead of {tuple(own[first].shape)}"
    refused(lambda: load(checkpoint, "nano"), "weights_differ", "denoiser.safetensors", shapes, "--config tiny")


WRONG: dict[str, tuple[Change, str, tuple[str, ...]]] = {
    "shape": (
        lambda t: {**t, "patch_embedding.weight": t["patch_embedding.weight"][:, :3].contiguous()},
        "weights_differ",
        ("patch_embedding.weight has shape (384, 3, 2, 2) instead of (384, 4, 2, 2)",),
    ),
    "integers": (
        lambda t: {**t, "patch_embedding.bias": t["patch_embedding.bias"].long()},
        "weights_differ",
        ("patch_embedding.bias (384,) has dtype int64 instead of float32",),
    ),
    "complex": (
        lambda t: {**t, "patch_embedding.bias": t["patch_embedding.bias"].to(torch.complex64)},
        "weights_differ",
        ("patch_embedding.bias (384,) has dtype complex64 instead of float32",),
    ),
    "nan": (
        lambda t: {**t, "patch_embedding.bias": torch.full_like(t["patch_embedding.bias"], torch.nan)},
        "weights_not_finite",
        ("patch_embedding.bias (384,) holds NaN or infinity in 384 of 384 places",),
    ),
    "infinity in half precision": (
        lambda t: {**t, "patch_embedding.bias": torch.tensor([torch.inf] + [0] * 383).half()},
        "weights_not_finite",
        ("patch_embedding.bias (384,) holds NaN or infinity in 1 of 384 places",),
    ),
    "renamed": (
        lambda t: {("patchify.bias" if k == "patch_embedding.bias" else k): v for k, v in t.items()},
        "weights_differ",
        ("it lacks patch_embedding.bias (384,), and holds an unknown patchify.bias (384,)",),
    ),
    "wrapped": (
        lambda t: {f"module.{k}": v for k, v in t.items()},
        "weights_differ",
        ("and holds an unknown module.", "every name begins with 'module.'"),
    ),
    "too much": (
        lambda t: {**t, "extra.weight": torch.zeros(2, 3)},
        "weights_differ",
        ("it holds an unknown extra.weight (2, 3)",),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_tensor_that_does_not_fit_is_named(what: str, checkpoint: Path, tmp_path: Path) -> None:
    change, code, parts = WRONG[what]
    folder = changed(checkpoint, tmp_path, change)
    refused(lambda: load(folder), code, "denoiser.safetensors", *parts)


def test_a_pickle_is_not_read_and_named_where_it_lies_in_the_place_of_weights(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "decoder.safetensors").symlink_to(checkpoint / "decoder.safetensors")
    (tmp_path / "denoiser.safetensors").mkdir()
    torch.save({}, tmp_path / "model.pt")
    parts = (
        "lacks denoiser.safetensors (a folder lies there), text_encoder.safetensors",
        "model.pt is a pickle, and only safetensors is read",
    )
    refused(lambda: load(tmp_path), "weights_missing", *parts)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    CLIPTextModel(TextEncoder("vit-b-32").preset.config()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("change", "code", "parts"),
    [
        (lambda t: {**t, FIRST: torch.ones(3, 4)}, "weights_differ", (f"{FIRST} has shape (3, 4) instead of (512,)",)),
        (
            lambda t: {("x." + k if k == FIRST else k): v for k, v in t.items()},
            "weights_differ",
            (f"it lacks {FIRST} (512,), and holds an unknown x.{FIRST}",),
        ),
        (
            lambda t: {**t, FIRST: t[FIRST] * torch.nan},
            "weights_not_finite",
            (f"{FIRST} (512,) holds NaN or infinity in 512 of 512 places",),
        ),
    ],
    ids=["shape", "renamed", "nan"],
)
def test_a_text_encoder_of_another_library_is_held_to_the_same(
    change: Change, code: str, parts: tuple[str, ...], clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    save_file(change(load_file(clip / "model.safetensors")), tmp_path / "model.safetensors", {"format": "pt"})
    refused(lambda: load_text_encoder("vit-b-32", tmp_path), code, str(tmp_path), *parts)


def test_a_text_encoder_that_is_a_pickle_is_not_read(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    torch.save(load_file(clip / "model.safetensors"), tmp_path / "pytorch_model.bin")
    refused(lambda: load_text_encoder("vit-b-32", tmp_path), "weights_missing", "Only safetensors is read")


@pytest.mark.parametrize(
    ("change", "code", "parts"),
    [
        (
            lambda t: {**t, "encoder.conv_in.bias": torch.ones(3)},
            "weights_differ",
            ("encoder.conv_in.bias has shape (3,) instead of (8,)",),
        ),
        (
            lambda t: {("encoder.first.bias" if k == "encoder.conv_in.bias" else k): v for k, v in t.items()},
            "weights_differ",
            ("it lacks encoder.conv_in.bias (8,), and holds an unknown encoder.first.bias",),
        ),
        (
            lambda t: {**t, "encoder.conv_in.bias": torch.full((8,), torch.inf)},
            "weights_not_finite",
            ("encoder.conv_in.bias (8,) holds NaN or infinity in 8 of 8 places",),
        ),
    ],
    ids=["shape", "renamed", "infinity"],
)
def test_a_frozen_encoder_of_another_library_is_held_to_the_same(
    change: Change, code: str, parts: tuple[str, ...], tmp_path: Path
) -> None:
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    model.save_pretrained(tmp_path)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    load_frozen_encoder(LATENT_KINDS["f8c4"], tmp_path)
    save_file(change(load_file(weights)), weights, {"format": "pt"})
    refused(lambda: load_frozen_encoder(LATENT_KINDS["f8c4"], tmp_path), code, str(tmp_path), *parts)


def test_what_only_the_decoder_half_lacks_does_not_matter_to_an_encoder(tmp_path: Path) -> None:
    tensors = {"decoder.a": torch.tensor(torch.nan), "encoder.a": torch.tensor(1.0)}
    check_finite({"encoder.a": tensors["encoder.a"]}, "x")
    with pytest.raises(BadInput, match=r"decoder\.a \(\) holds NaN or infinity in 1 of 1 places"):
        check_finite(tensors, "x")


def test_shapes_are_said_before_names(tmp_path: Path) -> None:
    """Of another size a model lacks tensors, too; the shapes say more."""
    given = {"weight": torch.zeros(2, 5), "gate": torch.zeros(1)}
    with pytest.raises(BadInput, match=r"weight has shape \(2, 5\) instead of \(2, 3\)"):
        check_fits(torch.nn.Linear(3, 2), given, "x")

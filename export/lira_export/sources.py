"""Where the weights of an export come from: the committed demo, a checkpoint, or a seed."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch

from lira.checkpoint import load_module, read_metadata
from lira.decoder import TinyDecoder
from lira.latents import LatentKind, latent_kind
from lira.model import LiRAModel
from lira.presets import get_preset
from lira.text import TextEncoder, load_text_encoder, seeded_text_encoder
from lira_runtime.errors import BadInput
from lira_runtime.files import sha256_of
from lira_runtime.manifest import Source

DEMO_CONFIG, DEMO_LATENT, DEMO_TEXT, DEMO_RESOLUTION = "nano", "demo", "demo", 256
DEFAULT_LATENT, DEFAULT_TEXT, DEFAULT_RESOLUTION = "f32c32", "vit-l-14", 1024
WEIGHT_FILES = ("denoiser.safetensors", "decoder.safetensors", "text_encoder.safetensors")


@dataclass(frozen=True)
class Request:
    """What the user asked for; None means the default of the config."""

    config: str
    latent: str | None = None
    resolution: int | None = None
    text_encoder: str | None = None
    checkpoint: Path | None = None
    seed: int = 0

    @property
    def is_demo(self) -> bool:
        """Whether the committed demo weights answer this request."""
        return (
            self.config == DEMO_CONFIG
            and self.checkpoint is None
            and self.latent in (None, DEMO_LATENT)
            and self.text_encoder in (None, DEMO_TEXT)
        )


@dataclass(frozen=True)
class Models:
    """The eager models of a pipeline, in evaluation mode, and the record of their origin."""

    kind: LatentKind
    resolution: int
    denoiser: LiRAModel
    decoder: TinyDecoder
    text_encoder: TextEncoder
    source: Source


def demo_weights() -> Path:
    """Folder of the committed demo weights."""
    return Path(str(resources.files("lira"))) / "weights"


def load_models(request: Request) -> Models:
    """Build the models that a request names.

    Raises:
        BadInput: unknown names, or a checkpoint that is missing, damaged or of another shape.
    """
    get_preset(request.config)
    if request.is_demo:
        return _from_checkpoint(request, demo_weights(), DEMO_LATENT, DEMO_TEXT, DEMO_RESOLUTION, "demo")
    latent, text = request.latent or DEFAULT_LATENT, request.text_encoder or DEFAULT_TEXT
    if request.checkpoint is not None:
        return _from_checkpoint(request, request.checkpoint, latent, text, DEFAULT_RESOLUTION, "checkpoint")
    return _from_seed(request, latent_kind(latent), text)


def _from_seed(request: Request, kind: LatentKind, text_preset: str) -> Models:
    text_encoder = seeded_text_encoder(text_preset, request.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        denoiser = LiRAModel(request.config, kind.channels, text_encoder.width, kind.patch_size).eval()
        wake_zero_weights(denoiser)
        decoder = TinyDecoder(kind).eval()
        wake_zero_weights(decoder)
    digest = hashlib.sha256(f"seed {request.seed} {request.config} {kind.name} {text_preset}".encode()).hexdigest()
    source = Source(digest=digest, weights="seed", seed=request.seed)
    return Models(kind, request.resolution or DEFAULT_RESOLUTION, denoiser, decoder, text_encoder, source)


def wake_zero_weights(model: torch.nn.Module) -> None:
    """Draw the matrices that training starts at zero: a network whose output is zero has no parity to measure."""
    for parameter in model.parameters():
        if parameter.ndim >= 2 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5 * parameter[0].numel() ** -0.5)


def _from_checkpoint(request: Request, folder: Path, latent: str, text: str, resolution: int, origin: str) -> Models:
    if not folder.is_dir():
        raise BadInput(f"The checkpoint {folder} is not a directory; it must hold {', '.join(WEIGHT_FILES)}.")
    missing = [name for name in WEIGHT_FILES if not (folder / name).is_file()]
    if missing:
        raise BadInput(f"The checkpoint {folder} lacks {', '.join(missing)}.")
    kind = latent_kind(latent)
    text_encoder = load_text_encoder(text, folder / "text_encoder.safetensors")
    _check_config(folder / "denoiser.safetensors", request.config)
    denoiser = LiRAModel(request.config, kind.channels, text_encoder.width, kind.patch_size)
    load_module(denoiser, folder / "denoiser.safetensors")
    decoder = TinyDecoder(kind)
    load_module(decoder, folder / "decoder.safetensors")
    digest = hashlib.sha256("".join(sha256_of(folder / name) for name in WEIGHT_FILES).encode()).hexdigest()
    source = Source(digest=digest, weights="demo" if origin == "demo" else "checkpoint")
    return Models(kind, request.resolution or resolution, denoiser.eval(), decoder.eval(), text_encoder, source)


def _check_config(path: Path, config: str) -> None:
    stored = read_metadata(path).get("config", config)
    if stored != config:
        raise BadInput(f"{path} holds a '{stored}' denoiser, not a '{config}' one; use --config {stored}.")

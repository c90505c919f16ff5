"""Where the models of a pipeline come from: the committed demo, a checkpoint, or a seed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import msgspec
import torch
from torch import nn

from lira.checkpoint import load_module, not_a_file, read_metadata, weights_digest
from lira.decoder import DECODER_FILE, TinyDecoder
from lira.encoders import ENCODER_FILE, load_image_encoder
from lira.fitting import fill_denoiser
from lira.latents import LatentKind, latent_kind
from lira.model import LiRAModel, wake_zero_weights
from lira.presets import get_preset
from lira.text import TextEncoder, cached_text_encoder, get_text_preset, load_text_encoder, seeded_text_encoder
from lira_runtime.errors import BadInput
from lira_runtime.files import sha256_of
from lira_runtime.manifest import SamplerDefaults, Source

DEMO_CONFIG, DEMO_LATENT, DEMO_TEXT, DEMO_RESOLUTION = "nano", "demo", "demo", 256
"""The demo's; the resolution is in px."""
DEFAULT_LATENT, DEFAULT_TEXT, DEFAULT_RESOLUTION = "f32c32", "vit-l-14", 1024
TEXT_FILE, TEXT_FOLDER = "text_encoder.safetensors", "text_encoder"
"""Text weights of this project, or instead of them a folder in transformers' layout."""
WEIGHT_FILES = ("denoiser.safetensors", DECODER_FILE, TEXT_FILE)
TURBO = "demo-turbo"
"""`--checkpoint demo-turbo`: the committed few-step student, with the demo's decoder and text encoder."""
USUAL_SAMPLER = SamplerDefaults(method="dpm", steps=20, shift=1.0, guidance=3.0)
"""Of a denoiser whose metadata names no other under `sampler`."""
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
"""Endings of weights that are not read."""
STATISTICS_TOLERANCE = 2e-3
"""Of a latent's scaling and shift, which are stored as float16."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; None means the default of the config.

    with_encoder: take the image encoder that lies beside the weights. encoder: take this one instead, a source that
    `lira.encoders.load_frozen_encoder` reads.
    """

    config: str
    latent: str | None = None
    resolution: int | None = None
    text_encoder: str | None = None
    checkpoint: Path | None = None
    seed: int = 0
    with_encoder: bool = False
    encoder: str | None = None

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
    """The eager models of a pipeline, in evaluation mode, the record of their origin, and how they are drawn with."""

    kind: LatentKind
    resolution: int
    denoiser: LiRAModel
    decoder: TinyDecoder
    text_encoder: TextEncoder
    source: Source
    sampler: SamplerDefaults = USUAL_SAMPLER
    image_encoder: nn.Module | None = None
    """Picture (1, 3, H, W) in [0, 1] -> diffusion latent (1, C, h, w); only where the request names one."""


def demo_weights() -> Path:
    """Folder of the committed demo weights."""
    return Path(str(resources.files("lira"))) / "weights"


def turbo_weights() -> Path:
    """Folder of the committed student's denoiser."""
    return demo_weights() / "turbo"


def checkpoint_folder(checkpoint: Path) -> Path:
    """Where the weights of a checkpoint that a user names lie. A folder that is really called demo-turbo goes first."""
    return turbo_weights() if checkpoint == Path(TURBO) and not checkpoint.is_dir() else checkpoint


def load_models(request: Request) -> Models:
    """Build the models that a request names; every name and size is checked before the first is built.

    Raises:
        BadInput: unknown names, a resolution that does not fit, a checkpoint that is missing, damaged or of another
            shape, or encoders other than those that its denoiser and decoder were trained with, where that is known.
    """
    models = _load_pipeline(request)
    if not request.with_encoder and request.encoder is None:
        return models
    folder = _folder(request)
    encoder = load_image_encoder(models.kind, request.encoder, folder and _weight_file(folder, ENCODER_FILE))
    if folder is not None:
        _check_statistics(encoder, models.decoder, request.encoder or ENCODER_FILE)
    # An encoder from the hub cache has no file of its own to hash.
    digest = hashlib.sha256(f"{models.source.digest} {weights_digest(encoder)}".encode()).hexdigest()
    source = msgspec.structs.replace(models.source, digest=digest)
    return replace(models, image_encoder=encoder, source=source)


def _check_statistics(encoder: nn.Module, decoder: TinyDecoder, name: str) -> None:
    """Raise BadInput, naming the encoder, where its latents are scaled and shifted otherwise than the decoder's."""
    for statistic in ("scaling", "shift"):
        known = getattr(decoder, statistic)
        given = torch.as_tensor(getattr(encoder, statistic)).expand_as(known)
        if not torch.allclose(given, known, rtol=STATISTICS_TOLERANCE, atol=STATISTICS_TOLERANCE):
            means = f"their {statistic} is {given.mean():.4f} on average, not {known.mean():.4f}"
            raise BadInput(f"'{name}' makes other latents than the decoder was trained on: {means}.")


@dataclass(frozen=True)
class Names:
    """What a request comes to, with the defaults filled in: latent kind, text preset, resolution in px.

    folder: where the weights lie, None for weights from a seed. stored: what they say of themselves.
    """

    kind: LatentKind
    text_encoder: str
    resolution: int
    folder: Path | None
    stored: Mapping[str, str]


def names_of(request: Request) -> Names:
    """Fill in and check a request's names, building nothing. Raises BadInput as `load_models` does."""
    get_preset(request.config)
    folder = _folder(request)
    stored = _stored_names(folder) if folder is not None else {}
    kind = latent_kind(request.latent or stored.get("kind") or DEFAULT_LATENT)
    text = get_text_preset(request.text_encoder or stored.get("preset") or DEFAULT_TEXT).name
    usual = DEMO_RESOLUTION if kind.name == DEMO_LATENT else DEFAULT_RESOLUTION
    resolution = usual if request.resolution is None else request.resolution
    kind.shape(resolution, resolution)
    if stored.get("config", request.config) != request.config:
        held = stored["config"]
        raise BadInput(f"{folder} holds a '{held}' denoiser; use --config {held}.", "weights_differ")
    return Names(kind, text, resolution, folder, stored)


def _load_pipeline(request: Request) -> Models:
    names = names_of(request)
    kind, text, resolution = names.kind, names.text_encoder, names.resolution
    if names.folder is None:
        return _from_seed(request, kind, text, resolution)
    sampler = _stored_sampler(names.folder, names.stored.get("sampler"))
    return replace(_from_checkpoint(request, names.folder, kind, text, resolution), sampler=sampler)


def _folder(request: Request) -> Path | None:
    """Where the weights lie; None for weights from a seed."""
    if request.checkpoint is not None:
        return checkpoint_folder(request.checkpoint)
    return demo_weights() if request.is_demo else None


def _weight_file(folder: Path, name: str) -> Path:
    """A file of a checkpoint; what the committed student lacks is the demo's."""
    own = folder / name
    return demo_weights() / name if folder == turbo_weights() and not own.is_file() else own


def _stored_names(folder: Path) -> dict[str, str]:
    """What a checkpoint folder says of itself: config, latent kind and text preset, where its files say so."""
    if not folder.is_dir():
        raise BadInput(
            f"The checkpoint {folder} is not a directory; it must hold {', '.join(WEIGHT_FILES)}.", "weights_missing"
        )
    paths = {name: _weight_file(folder, name) for name in WEIGHT_FILES}
    missing = [name for name, path in paths.items() if not path.is_file()]
    if TEXT_FILE in missing and (folder / TEXT_FOLDER).is_dir():
        missing.remove(TEXT_FILE)
    if missing:
        named = ", ".join(name + not_a_file(paths[name]) for name in missing)
        raise BadInput(f"The checkpoint {folder} lacks {named}{_pickles(folder)}.", "weights_missing")
    present = [path for path in paths.values() if path.is_file()]
    return {key: value for path in present for key, value in read_metadata(path).items()}


def _pickles(folder: Path) -> str:
    """A hint where somebody's weights lie there in a form that is not read, because reading it may run code."""
    found = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    return f"; {found[0]} is a pickle, and only safetensors is read" if found else ""


def _stored_sampler(folder: Path, stored: str | None) -> SamplerDefaults:
    """The sampler that a denoiser was made for, as JSON in its metadata."""
    if stored is None:
        return USUAL_SAMPLER
    try:
        return msgspec.json.decode(stored, type=SamplerDefaults)
    except msgspec.DecodeError as error:
        raise BadInput(f"The denoiser in {folder} names no usable sampler: {error}.") from error


def _from_seed(request: Request, kind: LatentKind, text_preset: str, resolution: int) -> Models:
    text_encoder = cached_text_encoder(text_preset) or seeded_text_encoder(text_preset, request.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        denoiser = LiRAModel(request.config, kind.channels, text_encoder.width, kind.patch_size).eval()
        wake_zero_weights(denoiser)
        decoder = TinyDecoder(kind).eval()
        wake_zero_weights(decoder)
    digest = hashlib.sha256(f"seed {request.seed} {request.config} {kind.name} {text_preset}".encode()).hexdigest()
    source = Source(digest=digest, weights="seed", seed=request.seed)
    return Models(kind, resolution, denoiser, decoder, text_encoder, source)


def _from_checkpoint(request: Request, folder: Path, kind: LatentKind, text: str, resolution: int) -> Models:
    text_path = _weight_file(folder, TEXT_FILE)
    text_encoder = load_text_encoder(text, text_path if text_path.is_file() else folder / TEXT_FOLDER)
    denoiser = LiRAModel(request.config, kind.channels, text_encoder.width, kind.patch_size)
    trained_on = fill_denoiser(denoiser, _weight_file(folder, "denoiser.safetensors")).get("text_encoder")
    if trained_on is not None and trained_on != weights_digest(text_encoder):
        raise BadInput(f"The denoiser in {folder} was trained on the text states of another text encoder.")
    decoder = TinyDecoder(kind)
    load_module(decoder, _weight_file(folder, DECODER_FILE))
    files = [_weight_file(folder, name) for name in sorted(WEIGHT_FILES)]
    files = [path for path in files if path.is_file()] + sorted((folder / TEXT_FOLDER).rglob("*.safetensors"))
    digest = hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()
    committed = folder in (demo_weights(), turbo_weights())
    source = Source(digest=digest, weights="demo" if committed else "checkpoint")
    return Models(kind, resolution, denoiser.eval(), decoder.eval(), text_encoder, source)

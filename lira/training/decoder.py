"""Train TinyDecoder for any latent kind, the encoder frozen: pixel + perceptual + adversarial loss.

Loss = pixel MSE + perceptual distance (lira.training.perceptual) - the discriminator's mean logit on what was decoded
(from `adversarial_start` on), each times its weight, plus the discriminator's own hinge loss. Both networks live in one
module under one AdamW, which does not feel a loss's scale; so the hinge loss has the small `HINGE_WEIGHT`, and the
common clipping is decided by the decoder. Noise of a random sigma is added to the latent, so that the decoder bears
what a denoiser leaves.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from msgspec import Meta, Struct
from torch import Tensor, nn

from lira.autoencoder import DemoEncoder
from lira.checkpoint import load_module, save_module, weights_digest
from lira.data.emoji import EmojiSet
from lira.data.scenes import CANVAS
from lira.data.shards import ShardSet
from lira.data.sources import ImageSource, SceneSource, ShardImages
from lira.decoder import DECODER_FILE, TinyDecoder
from lira.encoders import FrozenEncoder, load_frozen_encoder
from lira.latents import LatentKind, latent_kind
from lira.training.discriminator import PatchDiscriminator, discriminator_loss, generator_loss
from lira.training.launch import single_device
from lira.training.loop import STATE_NAME, adamw, begin, optimise, training_steps
from lira.training.perceptual import SMALLEST_SIDE, Distance, perceptual_distance
from lira.training.pictures import EncodedPictures, Pictures
from lira.training.quality import measure, save_examples
from lira.training.recipe import Count, NotNegative, Optimiser, Run, check_warmup
from lira.training.state import Ema, TrainingState
from lira.training.watch import View, Watch
from lira_runtime.errors import BadInput, LiRAError

HINGE_WEIGHT = 0.01
CHECK_NOISES = (0.0, 0.1, 0.2)
"""Sigmas of the noise on the latent that a finished decoder is measured at."""
CHECK_BATCH = 32
HELD_OUT, HELD_OUT_SEED = 256, 8
"""Held-out pictures that a finished decoder is measured on; a line of log takes the first batch of them."""
MOST_SCENES = 50_000
"""Different scenes to train on; a longer run sees them again."""
EXAMPLES_NAME = "examples.png"

Weight = Annotated[float, Meta(ge=0, le=1e6)]


class Losses(Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the loss's terms."""

    pixel: Weight
    perceptual: Weight
    adversarial: Weight
    adversarial_start: NotNegative = 0
    """Steps before the discriminator takes part; with `adversarial` = 0 it never does."""


class DecoderRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a run of the decoder's training, but the pictures and the encoder."""

    latent: str
    resolution: Count
    """Side of the pictures, in px."""
    steps: Count
    batch: Count
    max_noise: Annotated[float, Meta(ge=0, le=10)]
    """Largest sigma of the noise on the latent; each picture draws its own, uniformly from 0."""
    losses: Losses
    optimiser: Optimiser
    run: Run

    def __post_init__(self) -> None:
        if self.resolution < SMALLEST_SIDE:
            raise ValueError(f"a decoder is measured on pictures of at least {SMALLEST_SIDE} px")
        check_warmup(self.optimiser, self.steps)
        try:
            latent_kind(self.latent).shape(self.resolution, self.resolution)
        except LiRAError as error:
            raise ValueError(str(error)) from error


class DecoderTraining(nn.Module):
    """The decoder and the discriminator that judges it."""

    def __init__(self, kind: LatentKind) -> None:
        super().__init__()
        self.decoder = TinyDecoder(kind)
        self.discriminator = PatchDiscriminator()

    def forward(self, latent: Tensor, image: Tensor, judged: bool) -> tuple[Tensor, Tensor, Tensor]:
        """What is made of `latent`, (b, 3, H, W) float32, and the generator's and the discriminator's scalar loss.

        Both losses are 0 when not `judged`.
        """
        made = self.decoder(latent).float()
        if not judged:
            return made, made.new_zeros(()), made.new_zeros(())
        critic = self.discriminator
        return made, generator_loss(critic, made), discriminator_loss(critic, made, image)


def training_loss(
    model: nn.Module, distance: Distance, batch: EncodedPictures, recipe: DecoderRecipe, step: int
) -> dict[str, Tensor]:
    """The one to minimise of step `step`, "loss", and its terms, unweighted; all scalars."""
    losses = recipe.losses
    judged = losses.adversarial > 0 and step >= losses.adversarial_start
    with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=recipe.run.bf16):
        made, generator, hinge = model(_noisy(batch.latent, recipe, step), batch.image, judged)
    pixel = (made - batch.image).square().mean()
    perceptual = distance(made, batch.image).mean() if losses.perceptual else pixel.new_zeros(())
    total = losses.pixel * pixel + losses.perceptual * perceptual + losses.adversarial * generator
    terms = {"pixel": pixel, "perceptual": perceptual, "generator": generator, "hinge": hinge}
    return {"loss": total + HINGE_WEIGHT * hinge, **terms}


def _noisy(latent: Tensor, recipe: DecoderRecipe, step: int) -> Tensor:
    """The latents with noise that follows from seed and step, so that a resumed run sees the same."""
    generator = torch.Generator().manual_seed(recipe.run.seed * 2**32 + step)
    sigma = recipe.max_noise * torch.rand(len(latent), 1, 1, 1, generator=generator)
    return latent + (sigma * torch.randn(latent.shape, generator=generator)).to(latent.device)


def averaged(state: TrainingState, kind: LatentKind) -> TinyDecoder:
    """A copy of the decoder with the EMA weights, in evaluation mode, where the model is."""
    prefix = "decoder."
    weights = {k.removeprefix(prefix): v for k, v in state.ema.shadow.items() if k.startswith(prefix)}
    decoder = TinyDecoder(kind).to(weights["scaling"].device)
    decoder.load_state_dict(weights)
    return decoder.eval()


def new_state(recipe: DecoderRecipe, start: TinyDecoder, device: torch.device | str = "cpu") -> TrainingState:
    """Training that begins at the weights and the normalisation of `start`, with a fresh discriminator."""
    model = DecoderTraining(start.kind)
    model.decoder.load_state_dict(start.state_dict())
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = recipe.optimiser
    settings = {"kind": start.kind.name, "stage": "decoder"}
    ema, text = Ema(model, optimiser.ema_decay), msgspec.json.encode(recipe).decode()
    return TrainingState(model, adamw(model, optimiser), ema, settings=settings, recipe=text)


def train(
    state: TrainingState,
    recipe: DecoderRecipe,
    distance: Distance,
    pictures: Pictures,
    check: Sequence[EncodedPictures],
    out: Path,
    watch: Watch,
) -> None:
    """Train to the recipe's last step, measuring the held-out quality on `check` at intervals."""
    kind = latent_kind(recipe.latent)
    with contextlib.closing(pictures.ahead(state.step)) as coming:
        for step in training_steps(state, recipe.steps, out / STATE_NAME, recipe.run.save_every):
            terms = training_loss(state.model, distance, next(coming), recipe, step)
            if optimise(state, terms["loss"], recipe.optimiser, recipe.steps) is None:
                break
            watch.record(state, {name: term.item() for name, term in terms.items()}, recipe.batch)
            if watch.is_due(state.step):
                watch.held_out(state.step, measure(averaged(state, kind), distance, check).figures())


def finish(
    decoder: TinyDecoder, encoder: str, distance: Distance, check: Sequence[EncodedPictures], out: Path, watch: Watch
) -> None:
    """Write weights (float16) and a picture of examples, and tell the held-out quality of the weights as stored.

    encoder: its digest, for the metadata.
    """
    decoder = decoder.half().float()
    save_module(decoder, out / DECODER_FILE, torch.float16, {"kind": decoder.kind.name, "encoder": encoder})
    for noise in CHECK_NOISES:
        quality = measure(decoder, distance, check, noise)
        watch.result(f"held-out, latent noise {noise}: {quality}", {"latent_noise": noise, **quality.figures()})
    save_examples(decoder, check, out / EXAMPLES_NAME)


def first_decoder(kind: LatentKind, encoder: nn.Module, start: Path | None) -> TinyDecoder:
    """The decoder that training begins with: stored weights, or fresh ones with the encoder's normalisation.

    Raises BadInput when the weights do not fit.
    """
    decoder = TinyDecoder(kind)
    if start is not None:
        load_module(decoder, start)
    elif isinstance(encoder, DemoEncoder):
        decoder.scaling.copy_(encoder.scaling)
        decoder.shift.copy_(encoder.shift)
    elif isinstance(encoder, FrozenEncoder):
        decoder.scaling.fill_(encoder.scaling)
        decoder.shift.fill_(encoder.shift)
    return decoder


def scene_sources(emoji: Path, recipe: DecoderRecipe) -> tuple[ImageSource, ImageSource]:
    """Rendered scenes of the training split and, to measure on, of the held-out one. Raises BadInput."""
    if recipe.resolution != CANVAS:
        raise BadInput(f"Scenes are {CANVAS} px wide, the recipe asks for {recipe.resolution}.")
    drawn, count = EmojiSet(emoji), min(MOST_SCENES, recipe.steps * recipe.batch)
    return SceneSource(drawn, count, recipe.run.seed), SceneSource(drawn, HELD_OUT, HELD_OUT_SEED, held_out=True)


def image_sources(
    images: Sequence[str], held_out: Sequence[str], recipe: DecoderRecipe, cache: Path | None = None, json: bool = False
) -> tuple[ImageSource, ImageSource]:
    """The images of two sets of shards; `cache` and `json` are those of `ShardSet`. Raises BadInput."""
    source, measured = (ShardSet(urls, cache, json) for urls in (images, held_out))
    return ShardImages(source, recipe.resolution), ShardImages(measured, recipe.resolution)


def run(
    recipe: DecoderRecipe,
    encoder_source: str,
    start: Path | None,
    source: ImageSource,
    held_out: ImageSource,
    out: Path,
    resume: bool,
    view: View = View(),  # noqa: B008
) -> None:
    """Train to the recipe's last step over all runs, and write weights and examples to `out`; one process, one device.

    Raises BadInput for an encoder or weights that do not fit, for several processes, or when `out` holds a run and
    `resume` is not given.
    """
    device, kind = single_device("The decoder"), latent_kind(recipe.latent)
    encoder = load_frozen_encoder(kind, encoder_source)
    torch.manual_seed(recipe.run.seed)
    state = new_state(recipe, first_decoder(kind, encoder, start), device)
    state.settings["encoder"] = weights_digest(encoder)
    encoder = encoder.to(device)
    begin(state, out, resume, recipe.steps)
    count = min(HELD_OUT, len(held_out))
    measured = Pictures(held_out, encoder, min(CHECK_BATCH, count), recipe.run.seed, view.json)
    check = [measured.draw(number) for number in range(count // min(CHECK_BATCH, count))]
    distance = perceptual_distance().to(device)
    pictures = Pictures(source, encoder, recipe.batch, recipe.run.seed, view.json)
    with Watch(out, state, recipe.steps, recipe.run.log_every, view) as watch:
        train(state, recipe, distance, pictures, check[:1], out, watch)
        finish(averaged(state, kind), state.settings["encoder"], distance, check, out, watch)

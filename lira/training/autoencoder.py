"""Train the demo autoencoder: DemoEncoder and TinyDecoder together, on rendered scenes.

Loss, with w = 1 on the things and 0.3 on the plain background: mean of w (10 (x - y)^2 + 0.5 |x - y|), plus 0.5 times
the L1 norm of the finite differences of w (x - y) along rows and columns, which stands in for a perceptual loss and
keeps edges sharp.
Noise of a random sigma is added to the latent, so that the decoder bears what a denoiser leaves.
"""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
from msgspec import Meta, Struct
from torch import Tensor, nn

from lira.autoencoder import DemoEncoder, calibrate
from lira.checkpoint import load_module, save_module, weights_digest
from lira.data.emoji import EmojiSet
from lira.data.scenes import BACKGROUNDS, render, sample_jitter, sample_split
from lira.decoder import DECODER_FILE, TinyDecoder
from lira.encoders import ENCODER_FILE, load_frozen_encoder
from lira.latents import LatentKind, latent_kind
from lira.training.ahead import ahead
from lira.training.grid import save_compared
from lira.training.launch import single_device
from lira.training.loop import STATE_NAME, adamw, begin, optimise, training_steps
from lira.training.pictures import in_floats
from lira.training.recipe import Count, Optimiser, Run, check_warmup
from lira.training.state import Ema, TrainingState
from lira.training.watch import View, Watch
from lira_runtime.errors import BadInput, LiRAError

BACKGROUND_WEIGHT = 0.3
CHECK_SEED, CALIBRATION_SEED = 7, 11
CHECK_BATCH, CHECK_BATCHES = 32, 8
"""Held-out scenes that a finished pair is measured on, after the batch of the log."""
CALIBRATION_BATCH, CALIBRATION_BATCHES = 64, 32


class AutoencoderRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides a run of the autoencoder's training, but the pictures."""

    latent: str
    steps: Count
    batch: Count
    max_noise: Annotated[float, Meta(ge=0, le=10)]
    """Largest sigma of the noise on the latent; each picture draws its own, uniformly from 0."""
    optimiser: Optimiser
    run: Run

    def __post_init__(self) -> None:
        check_warmup(self.optimiser, self.steps)
        try:
            latent_kind(self.latent)
        except LiRAError as error:
            raise ValueError(str(error)) from error


class Autoencoder(nn.Module):
    """Encoder and decoder of one latent kind."""

    def __init__(self, kind: LatentKind) -> None:
        super().__init__()
        self.encoder = DemoEncoder(kind)
        self.decoder = TinyDecoder(kind)
        # The encoder gives unit variance already; `calibrate` sets what is left to undo.
        self.decoder.scaling.fill_(1)
        self.decoder.shift.zero_()

    def forward(self, image: Tensor, sigma: Tensor) -> Tensor:
        """image (b, 3, H, W) in [0, 1] and sigma (b, 1, 1, 1) -> reconstruction (b, 3, H, W)."""
        latent = self.encoder(image)
        return self.decoder(latent + sigma * torch.randn_like(latent)).float()


def scene_batch(
    emoji: EmojiSet, count: int, seed: tuple[int, int], held_out: bool, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """The (image (b, 3, 256, 256) float32 in [0, 1], mask (b, 1, 256, 256) bool, true on the things) of a seed.

    As many threads render as PyTorch has.
    """
    rng = np.random.default_rng(seed)
    scenes = [sample_split(rng, held_out) for _ in range(count)]
    jitters = [sample_jitter(rng) for _ in scenes]
    with ThreadPoolExecutor(torch.get_num_threads(), "render") as threads:
        rendered = np.stack(list(threads.map(lambda scene, jitter: render(scene, emoji, jitter), scenes, jitters)))
    pixels = torch.from_numpy(rendered).to(device)
    plain = torch.tensor([BACKGROUNDS[scene.background] for scene in scenes], dtype=torch.uint8, device=device)
    mask = (pixels != plain[:, None, None]).any(-1)
    return in_floats(pixels), mask[:, None]


def reconstruction_loss(made: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """The loss in the module's docstring; made and image (b, 3, H, W), mask (b, 1, H, W) bool."""
    difference = made - image
    # One multiplication by the mask, not four: broadcasting it is a tenth of a training step.
    weighted = difference * torch.where(mask, 1.0, BACKGROUND_WEIGHT)
    pointwise = 10 * (weighted * difference).mean() + 0.5 * weighted.abs().mean()
    rows = (weighted[..., 1:, :] - weighted[..., :-1, :]).abs().mean()
    columns = (weighted[..., 1:] - weighted[..., :-1]).abs().mean()
    return pointwise + 0.5 * (rows + columns)


@torch.no_grad()
def measure(model: Autoencoder, batches: list[tuple[Tensor, Tensor]], noise: float = 0.0) -> tuple[float, float]:
    """PSNR in dB over all pixels and over the things' pixels, of 8-bit reconstructions, from the pooled errors."""
    model.eval()
    total, on_things, pixels = 0.0, 0.0, 0
    for image, mask in batches:
        sigma = torch.full((len(image), 1, 1, 1), noise, device=image.device)
        made = model(image, sigma).clamp(0, 1).mul(255).round() / 255
        error = (made - image).square().mean(1, keepdim=True)
        total += float(error.mean()) / len(batches)
        on_things += float(error[mask].sum())
        pixels += int(mask.sum())
    model.train()
    return -10 * float(np.log10(total)), -10 * float(np.log10(on_things / pixels))


def averaged(state: TrainingState, kind: LatentKind) -> Autoencoder:
    """A copy of the model with the EMA weights, in evaluation mode, where the model is."""
    model = Autoencoder(kind).to(next(iter(state.ema.shadow.values())).device)
    model.load_state_dict(state.ema.shadow)
    return model.eval()


def new_state(
    recipe: AutoencoderRecipe, start: Path | None = None, device: torch.device | str = "cpu"
) -> TrainingState:
    """A model with its optimiser and EMA: fresh, the same for the same seed, or the pair stored in the folder `start`.

    Raises BadInput where the pair is missing or does not fit.
    """
    torch.manual_seed(recipe.run.seed)
    kind = latent_kind(recipe.latent)
    model = Autoencoder(kind)
    if start is not None:
        _start_with(model, kind, start)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema, text = Ema(model, recipe.optimiser.ema_decay), msgspec.json.encode(recipe).decode()
    return TrainingState(model, adamw(model, recipe.optimiser), ema, settings={"kind": kind.name}, recipe=text)


def _start_with(model: Autoencoder, kind: LatentKind, folder: Path) -> None:
    """Fill both networks, their calibration too: it stays as it is until `finish`. Raises BadInput."""
    encoder, path = load_frozen_encoder(kind, folder / ENCODER_FILE), folder / DECODER_FILE
    digest = weights_digest(encoder)
    if load_module(model.decoder, path).get("encoder", digest) != digest:
        raise BadInput(f"{path} was trained with another encoder than {ENCODER_FILE} beside it.")
    model.encoder.load_state_dict(encoder.state_dict())


def train(state: TrainingState, emoji: EmojiSet, recipe: AutoencoderRecipe, out: Path, watch: Watch) -> None:
    """Run the loop to the recipe's last step, measuring held-out scenes at intervals."""
    model, kind = state.model, latent_kind(recipe.latent)
    device = next(model.parameters()).device
    check = [scene_batch(emoji, CHECK_BATCH, (CHECK_SEED, 0), held_out=True, device=device)]

    def draw(step: int) -> tuple[Tensor, Tensor]:
        return scene_batch(emoji, recipe.batch, (recipe.run.seed, step), held_out=False, device=device)

    with contextlib.closing(ahead(draw, state.step)) as coming:
        for step in training_steps(state, recipe.steps, out / STATE_NAME, recipe.run.save_every):
            image, mask = next(coming)
            # The noise too follows from the step: a resumed run draws what an uninterrupted one would.
            torch.manual_seed(step)
            sigma = recipe.max_noise * torch.rand(len(image), 1, 1, 1, device=device)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.run.bf16):
                made = model(image, sigma)
            loss = reconstruction_loss(made, image, mask)
            if optimise(state, loss, recipe.optimiser, recipe.steps) is None:
                break
            watch.record(state, {"loss": loss.item()}, recipe.batch)
            if watch.is_due(state.step):
                psnr, thing_psnr = measure(averaged(state, kind), check)
                watch.held_out(state.step, {"PSNR in dB": psnr, "PSNR on things in dB": thing_psnr})


def finish(state: TrainingState, emoji: EmojiSet, kind: LatentKind, out: Path, watch: Watch) -> None:
    """Calibrate the averaged weights, report on held-out scenes, and write weights and a picture of examples.

    What is measured are the weights as stored, in float16.
    """
    model = averaged(state, kind)
    device = next(model.parameters()).device
    parts = range(CALIBRATION_BATCHES)
    seen = (scene_batch(emoji, CALIBRATION_BATCH, (CALIBRATION_SEED, part), False, device)[0] for part in parts)
    calibrate(model.encoder, model.decoder, seen)
    model = model.half().float()
    check = [scene_batch(emoji, CHECK_BATCH, (CHECK_SEED, 1 + part), True, device) for part in range(CHECK_BATCHES)]
    for noise in (0.0, 0.1, 0.2):
        psnr, thing_psnr = measure(model, check, noise)
        sentence = f"held-out, latent noise {noise}: PSNR {psnr:.2f} dB, on things {thing_psnr:.2f} dB"
        watch.result(sentence, {"latent_noise": noise, "PSNR in dB": psnr, "PSNR on things in dB": thing_psnr})
    metadata = {"kind": kind.name}
    save_module(model.encoder, out / ENCODER_FILE, torch.float16, metadata)
    metadata |= {"encoder": weights_digest(model.encoder)}
    save_module(model.decoder, out / DECODER_FILE, torch.float16, metadata)
    image = check[0][0][:16]
    with torch.no_grad():
        made = model.eval()(image, torch.zeros(len(image), 1, 1, 1, device=device)).clamp(0, 1)
    save_compared(image, made, out / "examples.png")


def run(
    recipe: AutoencoderRecipe,
    emoji_path: Path,
    out: Path,
    resume: bool,
    view: View = View(),  # noqa: B008
    start: Path | None = None,
) -> None:
    """Train to the recipe's last step over all runs, and write weights and examples to `out`; one process, one device.

    A fresh run begins with the pair stored in the folder `start`, where that is given. Raises BadInput for a pair that
    does not fit, for several processes, or when `out` holds a run and `resume` is not given.
    """
    device = single_device("The autoencoder")
    fresh = not (out / STATE_NAME).exists()
    state, emoji = new_state(recipe, start if fresh else None, device), EmojiSet(emoji_path)
    begin(state, out, resume, recipe.steps)
    with Watch(out, state, recipe.steps, recipe.run.log_every, view) as watch:
        train(state, emoji, recipe, out, watch)
        finish(state, emoji, latent_kind(recipe.latent), out, watch)

"""The demo's encoder, and the training loop it is trained with."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lira.autoencoder import DemoEncoder, calibrate, load_encoder
from lira.checkpoint import load_module, read_metadata, save_module, save_tensors, weights_digest
from lira.data.emoji import EmojiSet
from lira.data.scenes import BACKGROUNDS, render, sample_jitter, sample_split
from lira.decoder import TinyDecoder
from lira.latents import LATENT_KINDS, LatentKind
from lira.training import autoencoder
from lira.training.autoencoder import (
    Autoencoder,
    AutoencoderRecipe,
    averaged,
    measure,
    new_state,
    reconstruction_loss,
    scene_batch,
)
from lira.training.cli import autoencoder_command
from lira.training.loop import cosine_rate, optimise
from lira.training.recipe import Optimiser, resolve_as
from lira.training.state import TrainingState
from lira_runtime.errors import BadInput

KINDS = [LATENT_KINDS["f32c32"], LATENT_KINDS["f8c4"], LATENT_KINDS["demo"]]
DEMO = LATENT_KINDS["demo"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_picture_becomes_a_latent_of_the_kinds_shape(kind: LatentKind) -> None:
    assert DemoEncoder(kind)(torch.rand(2, 3, 256, 256))[:1].shape == kind.shape(256, 256)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_encoder_has_at_most_a_million_parameters(kind: LatentKind) -> None:
    assert sum(p.numel() for p in DemoEncoder(kind).parameters()) <= 1_000_000


def test_after_calibration_every_channel_has_zero_mean_and_unit_variance() -> None:
    torch.manual_seed(0)
    model = Autoencoder(LATENT_KINDS["demo"]).eval()
    pictures = [torch.rand(4, 3, 64, 64) * 0.3 + 0.2 for _ in range(3)]
    calibrate(model.encoder, model.decoder, pictures)
    with torch.no_grad():
        latents = torch.cat([model.encoder(picture) for picture in pictures])
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)


def test_calibration_does_not_change_the_reconstruction() -> None:
    torch.manual_seed(0)
    model, picture, still = Autoencoder(LATENT_KINDS["demo"]).eval(), torch.rand(2, 3, 64, 64), torch.zeros(2, 1, 1, 1)
    with torch.no_grad():
        before = model(picture, still)
        calibrate(model.encoder, model.decoder, [picture])
        torch.testing.assert_close(model(picture, still), before, rtol=1e-3, atol=1e-4)


def test_a_stored_encoder_comes_back_and_another_networks_file_is_refused(tmp_path: Path) -> None:
    encoder = DemoEncoder(LATENT_KINDS["f32c32"]).eval()
    save_module(encoder, tmp_path / "e.safetensors", torch.float32, {"kind": "f32c32"})
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(load_encoder(tmp_path / "e.safetensors")(picture), encoder(picture))
    save_tensors(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"kind": "demo"})
    with pytest.raises(BadInput, match="does not fit DemoEncoder"):
        load_encoder(tmp_path / "other.safetensors")


def test_an_equal_picture_has_no_loss_and_an_error_on_a_thing_weighs_more() -> None:
    picture, mask = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., :8] = True
    on_thing, on_background = picture.clone(), picture.clone()
    on_thing[..., 2:6, 2:6] += 0.1
    on_background[..., 2:6, 10:14] += 0.1
    assert reconstruction_loss(picture, picture, mask) == 0
    assert reconstruction_loss(on_thing, picture, mask) > 2 * reconstruction_loss(on_background, picture, mask)


def test_psnr_of_a_known_error_is_the_formulas() -> None:
    class Off(Autoencoder):
        def forward(self, image: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return image + 51 / 255

    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., 0, 0] = True
    batches = [(torch.full((1, 3, 8, 8), 102 / 255), mask)]
    both = measure(Off(LATENT_KINDS["demo"]), batches)
    assert both == pytest.approx((-20 * math.log10(0.2),) * 2, abs=1e-3)


def test_the_rate_warms_up_peaks_and_falls_to_its_floor() -> None:
    assert cosine_rate(0, 1000, 100) == pytest.approx(0.01)
    assert cosine_rate(99, 1000, 100) == cosine_rate(100, 1000, 100) == pytest.approx(1.0)
    assert cosine_rate(550, 1000, 100, floor=0.0) == pytest.approx(0.5)
    assert cosine_rate(1000, 1000, 100, floor=0.02) == pytest.approx(0.02)


def recipe(*overrides: str) -> AutoencoderRecipe:
    return resolve_as(AutoencoderRecipe, "autoencoder-demo", overrides)


def _step(state: TrainingState) -> None:
    torch.manual_seed(state.step)
    picture, mask = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32, dtype=torch.bool)
    loss = reconstruction_loss(state.model(picture, torch.zeros(2, 1, 1, 1)), picture, mask)
    optimise(state, loss, Optimiser(rate=1e-3, warmup_steps=1), steps=100)


def test_an_interrupted_run_goes_on_exactly_as_an_uninterrupted_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = new_state(recipe())
    _step(whole)
    whole.save(tmp_path / "state.safetensors")
    _step(whole)
    resumed = new_state(recipe())
    resumed.load(tmp_path / "state.safetensors")
    _step(resumed)
    assert resumed.step == 2
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, msg=name)
        torch.testing.assert_close(resumed.ema.shadow[name], whole.ema.shadow[name], msg=name)


def test_a_save_within_the_next_step_holds_what_was_before_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = new_state(recipe())
    _step(state)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    state.save_once_proven(tmp_path / "state.safetensors")
    _step(state)
    saved = new_state(recipe())
    saved.load(tmp_path / "state.safetensors")
    assert saved.step == 1
    for name, value in saved.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    new_state(recipe()).save(tmp_path / "state.safetensors")
    with pytest.raises(BadInput, match="was trained with"):
        new_state(recipe("latent=f32c32")).load(tmp_path / "state.safetensors")


def test_weights_without_a_training_state_are_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "w.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(BadInput, match="no training state"):
        new_state(recipe()).load(tmp_path / "w.safetensors")


def stored_pair(folder: Path) -> tuple[DemoEncoder, TinyDecoder]:
    """An untrained pair as a run stores one: calibrated, in float16, the decoder telling its encoder."""
    torch.manual_seed(5)
    model = Autoencoder(DEMO).eval()
    calibrate(model.encoder, model.decoder, [0.3 * torch.rand(4, 3, 64, 64) + 0.2])
    model = model.half().float()
    save_module(model.encoder, folder / "encoder.safetensors", torch.float16, {"kind": "demo"})
    told = {"kind": "demo", "encoder": weights_digest(model.encoder)}
    save_module(model.decoder, folder / "decoder.safetensors", torch.float16, told)
    return model.encoder, model.decoder


@torch.no_grad()
def test_a_run_that_goes_on_from_a_calibrated_pair_begins_with_its_latents_and_reconstructions(tmp_path: Path) -> None:
    encoder, decoder = stored_pair(tmp_path)
    assert not torch.allclose(encoder.scaling, torch.ones(1), atol=0.1)
    state, picture = new_state(recipe(), tmp_path), torch.rand(2, 3, 64, 64)
    for model in (state.model.eval(), averaged(state, DEMO)):
        torch.testing.assert_close(model.encoder(picture), encoder(picture), rtol=1e-4, atol=1e-4)
        made = model(picture, torch.zeros(2, 1, 1, 1))
        torch.testing.assert_close(made, decoder(encoder(picture)), rtol=1e-4, atol=1e-4)


def test_a_pair_that_was_not_trained_together_is_refused(tmp_path: Path) -> None:
    encoder, _ = stored_pair(tmp_path)
    encoder.scaling.mul_(1.5)
    save_module(encoder, tmp_path / "encoder.safetensors", torch.float16, {"kind": "demo"})
    with pytest.raises(
        BadInput, match=r"decoder\.safetensors was trained with another encoder than encoder\.safetensors"
    ):
        new_state(recipe(), tmp_path)


def test_the_command_goes_on_from_a_pair_and_stores_one_with_unit_latents(
    tmp_path: Path, emoji_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in {"CALIBRATION_BATCHES": 1, "CHECK_BATCHES": 1, "CALIBRATION_BATCH": 4, "CHECK_BATCH": 8}.items():
        monkeypatch.setattr(autoencoder, name, count)
    (tmp_path / "pair").mkdir()
    encoder, decoder = stored_pair(tmp_path / "pair")
    still = ["steps=1", "batch=2", "optimiser.warmup_steps=0", "optimiser.rate=1e-12", "optimiser.weight_decay=0"]
    options = ["--emoji", str(emoji_folder), "--start", str(tmp_path / "pair"), "--out", str(tmp_path / "run")]
    options += ["--recipe", "autoencoder-demo-gpu", *(word for value in still for word in ("--set", value))]
    told = CliRunner().invoke(autoencoder_command, options)
    assert told.exit_code == 0, told.exception
    found, made = load_encoder(tmp_path / "run" / "encoder.safetensors"), TinyDecoder(DEMO)
    load_module(made, tmp_path / "run" / "decoder.safetensors")
    assert read_metadata(tmp_path / "run" / "decoder.safetensors")["encoder"] == weights_digest(found)
    seen = scene_batch(EmojiSet(emoji_folder), 4, (autoencoder.CALIBRATION_SEED, 0), held_out=False)[0]
    with torch.no_grad():
        latent = found(seen)
        torch.testing.assert_close(latent.std((0, 2, 3)), torch.ones(4), atol=5e-3, rtol=0)
        torch.testing.assert_close(latent.mean((0, 2, 3)), torch.zeros(4), atol=5e-3, rtol=0)
        assert (encoder(seen).std((0, 2, 3)) - 1).abs().max() > 0.1
    shutil.rmtree(tmp_path / "pair")
    told = CliRunner().invoke(autoencoder_command, [*options, "--resume"])
    assert told.exit_code == 0, "what a run began with does not count when it goes on"


def test_a_batch_is_the_scenes_of_its_seed_and_the_mask_is_true_on_the_things(emoji: EmojiSet) -> None:
    image, mask = scene_batch(emoji, 3, (1, 2), held_out=True)
    rng = np.random.default_rng((1, 2))
    scenes = [sample_split(rng, True) for _ in range(3)]
    for place, scene in enumerate(scenes):
        pixels = render(scene, emoji, sample_jitter(rng))
        assert np.array_equal(image[place].permute(1, 2, 0).mul(255).round().numpy(), pixels)
        assert np.array_equal(mask[place, 0].numpy(), (pixels != BACKGROUNDS[scene.background]).any(-1))
    assert 0 < mask.float().mean() < 0.5

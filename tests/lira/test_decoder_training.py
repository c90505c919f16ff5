"""Training the decoder on frozen latents: what each term of the loss is, that it learns and measures right."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from lira.autoencoder import DemoEncoder, calibrate, load_encoder
from lira.checkpoint import load_module, read_metadata, save_module, weights_digest
from lira.data.sources import BadSample, Picture
from lira.decoder import TinyDecoder
from lira.encoders import FrozenEncoder
from lira.latents import LATENT_KINDS
from lira.sources import demo_weights
from lira.training import decoder
from lira.training.cli import decoder_command
from lira.training.decoder import DecoderRecipe, first_decoder, new_state, run, training_loss
from lira.training.perceptual import PyramidDistance
from lira.training.pictures import EncodedPictures, Pictures, encode
from lira.training.quality import measure
from lira.training.recipe import resolve_as
from lira_runtime.errors import BadInput

DEMO = LATENT_KINDS["demo"]
SIDE = 192


@dataclass(frozen=True)
class Discs:
    """Pictures of one disc each, of the seeds from `first` on; those at the places in `bad` cannot be used."""

    count: int = 100
    first: int = 0
    bad: tuple[int, ...] = ()
    size: int = SIDE
    description: str = "discs"

    def __len__(self) -> int:
        return self.count

    def picture(self, index: int) -> Picture:
        if index in self.bad:
            raise BadSample(f"disc {index} is damaged")
        rng = np.random.default_rng(self.first + index)
        y, x = np.mgrid[:SIDE, :SIDE] - rng.integers(60, SIDE - 60, (2, 1, 1))
        pixels = np.broadcast_to(rng.integers(0, 256, 3), (SIDE, SIDE, 3)).astype(np.uint8)
        pixels[x**2 + y**2 < 50**2] = rng.integers(0, 256, 3)
        return Picture(str(index), pixels, "a disc")


@dataclass(frozen=True)
class Counted(Discs):
    """Keeps the places of the pictures that were asked for."""

    asked: list[int] = field(default_factory=list)

    def picture(self, index: int) -> Picture:
        self.asked.append(index)
        return super().picture(index)


def recipe(*overrides: str) -> DecoderRecipe:
    small = (f"resolution={SIDE}", "batch=2", "steps=4", "run.log_every=2", "run.save_every=2", "run.bf16=false")
    small += ("optimiser.warmup_steps=2",)
    return resolve_as(DecoderRecipe, "decoder-demo", [*small, *overrides])


def encoder() -> DemoEncoder:
    """Untrained, but with latents of unit variance, so that a decoder can read them."""
    torch.manual_seed(3)
    frozen = DemoEncoder(DEMO).eval().requires_grad_(False)
    pixels = np.stack([Discs().picture(index).pixels for index in range(8)])
    calibrate(frozen, TinyDecoder(DEMO), [encode(frozen, pixels).image])
    return frozen


def fresh(settings: DecoderRecipe) -> tuple[DemoEncoder, torch.nn.Module]:
    frozen = encoder()
    torch.manual_seed(4)
    return frozen, new_state(settings, first_decoder(DEMO, frozen, None))


@pytest.mark.parametrize("kind", list(LATENT_KINDS.values()), ids=lambda kind: kind.name)
def test_every_latent_kind_has_a_loss_and_a_gradient_for_all_of_the_decoder(kind) -> None:
    torch.manual_seed(0)
    settings = recipe(f"latent={kind.name}", "losses.adversarial=0.1", "losses.adversarial_start=0")
    batch = EncodedPictures(torch.rand(1, 3, SIDE, SIDE), torch.randn(kind.shape(SIDE, SIDE)))
    state = new_state(settings, TinyDecoder(kind))
    training_loss(state.model, PyramidDistance(), batch, settings, 0)["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in state.model.parameters())


def test_the_total_is_the_weighted_sum_and_the_discriminator_waits_for_its_step() -> None:
    settings = recipe("losses.adversarial=0.5", "losses.adversarial_start=3", "max_noise=0")
    frozen, state = fresh(settings)
    batch = Pictures(Discs(), frozen, 2, seed=0).draw(0)
    early, late = (training_loss(state.model, PyramidDistance(), batch, settings, step) for step in (2, 3))
    with torch.no_grad():
        made = state.model.decoder(batch.latent)
        logits = state.model.discriminator(torch.cat([batch.image, made]))
    pixel = (made - batch.image).square().mean()
    total = settings.losses.pixel * pixel + settings.losses.perceptual * PyramidDistance()(made, batch.image).mean()
    torch.testing.assert_close(early["loss"].detach(), total)
    hinge = 0.5 * ((1 - logits[:2]).relu().mean() + (1 + logits[2:]).relu().mean())
    torch.testing.assert_close(late["loss"].detach(), total - 0.5 * logits[2:].mean() + 0.01 * hinge)


def test_the_noise_on_the_latent_is_the_steps_own() -> None:
    settings = recipe()
    frozen, state = fresh(settings)
    batch = Pictures(Discs(), frozen, 2, seed=0).draw(0)
    seen: list[torch.Tensor] = []
    state.model.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0] - batch.latent))
    for step in (0, 0, 1):
        training_loss(state.model, PyramidDistance(), batch, settings, step)
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])
    sigmas = seen[0].flatten(1).std(1)
    assert (sigmas > 0).all() and (sigmas < 1.1 * settings.max_noise).all()


def test_a_run_learns_leaves_the_encoder_alone_and_writes_what_it_measured(tmp_path: Path, capsys) -> None:
    path, out = tmp_path / "encoder.safetensors", tmp_path / "run"
    trained = (demo_weights() / path.name).read_bytes()
    path.write_bytes(trained)
    settings = recipe("steps=40", "optimiser.warmup_steps=1", "optimiser.ema_decay=0.5", "optimiser.rate=5e-3")
    source, held_out = Counted(80), Counted(3, first=500)
    run(settings, str(path), None, source, held_out, out, resume=False)
    assert sorted(source.asked[:80]) == list(range(80)) and sorted(held_out.asked) == [0, 1, 2]
    told = capsys.readouterr().out
    assert path.read_bytes() == trained
    frozen, decoder = load_encoder(path), TinyDecoder(DEMO)
    told_of = load_module(decoder, out / "decoder.safetensors")
    assert told_of == {"kind": "demo", "encoder": weights_digest(frozen)}
    check = [Pictures(Discs(3, first=500), frozen, 3, settings.run.seed).draw(0)]
    for noise in (0.0, 0.1, 0.2):
        assert f"held-out, latent noise {noise}: {measure(decoder, PyramidDistance(), check, noise)}\n" in told
    quality = measure(decoder, PyramidDistance(), check)
    assert quality.psnr > 5 + measure(first_decoder(DEMO, frozen, None), PyramidDistance(), check).psnr
    assert Image.open(out / "examples.png").size == (3 * SIDE, 2 * SIDE)
    stored = json.loads(read_metadata(out / "state.safetensors")["recipe"])
    assert stored["steps"] == 40 and stored["optimiser"]["rate"] == 5e-3
    with pytest.raises(BadInput, match="already holds a run"):
        run(settings, str(path), None, Discs(2), Discs(2), out, resume=False)
    save_module(encoder(), path, torch.float32, {"kind": "demo"})
    with pytest.raises(BadInput, match=r"was trained with another encoder\.$"):
        run(settings, str(path), None, Discs(2), Discs(2), out, resume=True)


def test_the_first_weights_of_decoder_and_discriminator_follow_from_the_recipes_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_module(encoder(), tmp_path / "e.safetensors", torch.float32, {"kind": "demo"})
    monkeypatch.setattr(decoder, "finish", lambda *_: None)
    monkeypatch.setattr(decoder, "train", lambda state, *_: found.append(state.model.state_dict()))
    found: list[dict[str, torch.Tensor]] = []
    for number in (0, 1):
        torch.manual_seed(number)
        out = tmp_path / str(number)
        run(recipe(), str(tmp_path / "e.safetensors"), None, Discs(2), Discs(2), out, resume=False)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_the_whole_recipe_has_an_adversary_for_every_latent_kind() -> None:
    for kind in LATENT_KINDS:
        whole = resolve_as(DecoderRecipe, "decoder", [f"latent={kind}"])
        assert whole.losses.adversarial > 0 and whole.losses.adversarial_start < whole.steps


def test_a_fresh_decoder_takes_the_encoders_normalisation_and_stored_weights_are_taken_whole(tmp_path: Path) -> None:
    frozen = encoder()
    frozen.scaling.fill_(0.9)
    frozen.shift.fill_(0.2)
    decoder = first_decoder(DEMO, frozen, None)
    assert torch.equal(decoder.scaling, frozen.scaling) and torch.equal(decoder.shift, frozen.shift)
    save_module(decoder, tmp_path / "d.safetensors", torch.float32, {"kind": "demo"})
    again = first_decoder(DEMO, encoder(), tmp_path / "d.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), decoder.state_dict().values(), strict=True)
    )


def test_a_fresh_decoder_undoes_the_normalisation_that_a_pretrained_encoder_was_loaded_with() -> None:
    kind = LATENT_KINDS["f8c16"]
    pretrained = FrozenEncoder(torch.nn.Identity(), None, kind, scaling=1.5305, shift=0.0609)  # SD3's, not FLUX's
    decoder = first_decoder(kind, pretrained, None)
    assert decoder.scaling.flatten().tolist() == pytest.approx([1.5305] * 16)
    assert decoder.shift.flatten().tolist() == pytest.approx([0.0609] * 16)


def command(*options: str) -> Result:
    return CliRunner().invoke(decoder_command, ["--encoder", "e", "--out", "o", *options])


@pytest.mark.parametrize("options", [(), ("--images", "a.tar"), ("--emoji", "x", "--images", "a", "--held-out", "b")])
def test_the_command_wants_scenes_or_two_sets_of_images(options: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="either --emoji, or --images with --held-out"):
        raise command(*options).exception or AssertionError("the command did not refuse")


def test_the_command_begins_with_the_weights_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_module(encoder(), tmp_path / "e.safetensors", torch.float32, {"kind": "demo"})
    stored, found = TinyDecoder(DEMO), []
    save_module(stored, tmp_path / "d.safetensors", torch.float32, {"kind": "demo"})
    monkeypatch.setattr(decoder, "scene_sources", lambda *_: (Discs(2), Discs(2)))
    monkeypatch.setattr(decoder, "finish", lambda *_: None)
    monkeypatch.setattr(decoder, "train", lambda state, *_: found.append(state.model.decoder.state_dict()))
    files = ("--encoder", str(tmp_path / "e.safetensors"), "--start", str(tmp_path / "d.safetensors"))
    done = command(*files, "--emoji", "x", "--set", f"resolution={SIDE}", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.exception
    assert all(torch.equal(value, found[0][name]) for name, value in stored.state_dict().items())


def test_scenes_have_a_size_of_their_own() -> None:
    with pytest.raises(BadInput, match="Scenes are 256 px wide, the recipe asks for 512"):
        raise command("--emoji", "x", "--set", "resolution=512").exception or AssertionError("not refused")


def test_a_batch_holds_the_sources_pictures_and_their_latents_and_an_epoch_each_once() -> None:
    frozen, source = encoder(), Discs(6)
    pictures = Pictures(source, frozen, 3, seed=1)
    found = torch.cat([pictures.draw(number).image for number in (0, 1)])
    wanted = encode(frozen, np.stack([source.picture(index).pixels for index in range(6)])).image
    assert sorted(found.flatten(1).sum(1).tolist()) == pytest.approx(sorted(wanted.flatten(1).sum(1).tolist()))
    batch = pictures.draw(5)
    torch.testing.assert_close(batch.latent, frozen(batch.image))
    assert torch.equal(batch.image, Pictures(source, frozen, 3, seed=1).draw(5).image)


def test_a_bad_picture_is_named_and_left_out_and_more_than_one_percent_stop_the_run(capsys) -> None:
    pictures = Pictures(Discs(100, bad=(7,)), torch.nn.AvgPool2d(8), 50, seed=0)
    sizes = [len(pictures.draw(number).image) for number in range(4)]
    assert sorted(sizes[:2]) == [49, 50] and sorted(sizes[2:]) == [49, 50]
    assert capsys.readouterr().err == "warning: skipped: disc 7 is damaged.\n"
    pictures = Pictures(Discs(100, bad=(7, 8)), torch.nn.AvgPool2d(8), 100, seed=0)
    with pytest.raises(BadInput, match=r"2 of 100 pictures \(the last: disc [78] is damaged\).*more than 1%"):
        pictures.draw(0)
    capsys.readouterr()
    Pictures(Discs(100, bad=(7,)), torch.nn.AvgPool2d(8), 100, seed=0, json=True).draw(0)
    told = json.loads(capsys.readouterr().out)
    assert told == {"event": "note", "text": "skipped: disc 7 is damaged.", "level": "warning"}


@pytest.mark.parametrize(
    ("override", "told"),
    [("latent=f9", "Unknown latent kind"), ("resolution=160", "at least 161 px"), ("resolution=200", "multiples of")],
)
def test_a_recipe_that_cannot_be_is_refused(override: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        recipe(override)

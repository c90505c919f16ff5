"""The denoiser's and the text encoder's training, on data small enough for seconds."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lira.checkpoint import load_module, read_metadata
from lira.data.scenes import Scene
from lira.model import LiRAModel
from lira.text import seeded_text_encoder
from lira.training import denoiser, loop, text
from lira.training.loop import LoopSettings
from lira_runtime.tokenizer import ClipTokenizer


def scenes(latents: np.ndarray | None = None) -> denoiser.PackedScenes:
    if latents is None:
        latents = np.random.default_rng(0).normal(size=(8, 4, 8, 8)).astype(np.float16)
    captions = ["a frog", "a bee", "a frog", "a key", "a bus", "a cat", "a dog", "a fox"]
    return denoiser.pack_scenes(latents, captions, seeded_text_encoder("demo", 0), ClipTokenizer.vendored(), batch=3)


def test_a_caption_is_encoded_once_and_found_again() -> None:
    packed = scenes()
    assert len(packed.states) == 7
    assert packed.caption_of[0] == packed.caption_of[2] != packed.caption_of[1]
    ids = torch.from_numpy(ClipTokenizer.vendored().encode("a bus").ids)
    with torch.inference_mode():
        wanted = seeded_text_encoder("demo", 0)(ids)[0]
    assert torch.allclose(packed.states[packed.caption_of[4]].float(), wanted, atol=0.1)


def test_an_epoch_shows_every_scene_once_and_drops_a_share_of_the_captions() -> None:
    packed = scenes()
    batches = packed.batches(4, caption_dropout=0.0, seed=0)
    seen = torch.cat([next(batches).z_0 for _ in range(2)])
    assert sorted(seen.flatten(1).sum(1).tolist()) == pytest.approx(
        sorted(packed.latents.astype(np.float32).reshape(8, -1).sum(1).tolist()), abs=1e-3
    )
    batches = packed.batches(8, caption_dropout=0.25, seed=0)
    empty = [(next(batches).text == packed.empty_state.float()).flatten(1).all(1).float().mean() for _ in range(200)]
    assert float(torch.stack(empty).mean()) == pytest.approx(0.25, abs=0.03)


def one_second_a_step() -> SimpleNamespace:
    """A clock that the loop reads twice a step, so that a budget in seconds is one in steps on any machine."""
    ticks = itertools.count(0.0, 0.5)
    return SimpleNamespace(monotonic=lambda: next(ticks))


def test_a_short_run_learns_a_constant_picture_and_its_averaged_weights_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "time", one_second_a_step())
    torch.manual_seed(0)
    recipe = denoiser.Recipe(batch=4, warmup_steps=30)
    state = denoiser.new_state("nano", in_channels=4, d_text=192, patch_size=4, recipe=recipe)
    z_0 = np.broadcast_to(np.array([2, -2, 1, -1], np.float16)[:, None, None], (8, 4, 8, 8))
    batches = scenes(z_0).batches(recipe.batch, recipe.caption_dropout, seed=0)
    loss = denoiser.train(state, batches, recipe, LoopSettings(budget=30.0), tmp_path)
    untrained = float(np.mean(z_0.astype(np.float64) ** 2)) + 1.0
    assert state.step == 30
    assert loss < 0.9 * untrained, "predicting zero costs the data's mean square and the noise's, which is 1"
    assert read_metadata(tmp_path / "denoiser.safetensors")["config"] == "nano"
    loaded = LiRAModel("nano", 4, 192, 4)
    load_module(loaded, tmp_path / "denoiser.safetensors")
    averaged = {name: value.half().float() for name, value in state.ema.shadow.items()}
    assert loaded.state_dict().keys() == averaged.keys()
    assert all(torch.equal(value, averaged[name]) for name, value in loaded.state_dict().items())
    assert not torch.equal(averaged["final_proj.weight"], state.model.state_dict()["final_proj.weight"].half().float())


def test_labels_name_the_values_of_a_scene() -> None:
    scene = Scene("frog", "blue", relation="above", second="bicycle")
    indices = {name: int(label[0]) for name, label in text.labels([scene]).items()}
    values = {name: text.CHOICES[name][index] for name, index in indices.items()}
    assert values["first"] == "frog" and values["second"] == "bicycle" and values["relation"] == "above"
    assert values["background"] == "blue" and values["size"] == "large" and values["position"] == "centre"


def test_words_that_no_caption_uses_start_silent_and_the_others_do_not() -> None:
    tokenizer = ClipTokenizer.vendored()
    state = text.new_state(text.Recipe(), tokenizer)
    table = state.model.encoder.clip.embeddings.token_embedding.table.weight
    unseen, seen = (tokenizer.encode(word).ids[0, 1] for word in ("parliament", "bicycle"))
    assert not table[unseen].any() and table[seen].any()

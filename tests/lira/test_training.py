"""The denoiser's and the text encoder's training, on data small enough for seconds."""

from pathlib import Path

import torch

from lira.checkpoint import load_module, load_tensors, read_metadata
from lira.data.scenes import Scene
from lira.data.synthetic import SyntheticData
from lira.model import LiRAModel
from lira.training import denoiser, text
from lira.training.recipe import Recipe, resolve
from lira_runtime.tokenizer import ClipTokenizer


def smoke(*overrides: str) -> Recipe:
    """A run of seconds: nano on 16 tokens, in float32."""
    small = ("model.latent=demo", "stages.0.resolution=128", "stages.0.batch=4", "run.bf16=false")
    return resolve("smoke", [*small, "stages.0.steps=6", "optimiser.warmup_steps=2", *overrides])


def test_a_short_run_learns_and_its_averaged_weights_load(tmp_path: Path) -> None:
    recipe = smoke("stages.0.steps=30", "optimiser.warmup_steps=5")
    data = SyntheticData("demo", 128, d_text=32)
    loss = denoiser.run(recipe, [data], tmp_path, resume=False)
    untrained = 1.0 + 100 / (77 * 32)  # the noise's variance and the data's: 10 x a mean of 77 x 32 normals
    assert loss < 0.9 * untrained
    assert read_metadata(tmp_path / "denoiser.safetensors")["config"] == "nano"
    loaded = LiRAModel("nano", 4, 32, 4)
    load_module(loaded, tmp_path / "denoiser.safetensors")
    tensors, _ = load_tensors(tmp_path / "state.safetensors")
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, tensors[f"ema.{name}"].half().float()), name
    assert not torch.equal(tensors["ema.final_proj.weight"], tensors["model.final_proj.weight"])


def test_labels_name_the_values_of_a_scene() -> None:
    scene = Scene("frog", "blue", relation="above", second="bicycle")
    indices = {name: int(label[0]) for name, label in text.labels([scene]).items()}
    values = {name: text.CHOICES[name][index] for name, index in indices.items()}
    assert values["first"] == "frog" and values["second"] == "bicycle" and values["relation"] == "above"
    assert values["background"] == "blue" and values["size"] == "large" and values["position"] == "centre"


def test_words_that_no_caption_uses_start_silent_and_the_others_do_not() -> None:
    tokenizer = ClipTokenizer.vendored()
    state = text.new_state(tokenizer)
    table = state.model.encoder.clip.embeddings.token_embedding.table.weight
    unseen, seen = (tokenizer.encode(word).ids[0, 1] for word in ("parliament", "bicycle"))
    assert not table[unseen].any() and table[seen].any()

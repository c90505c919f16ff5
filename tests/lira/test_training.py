"""The denoiser's and the text encoder's training, on data small enough for seconds."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lira.checkpoint import load_module, load_tensors, read_metadata, save_module
from lira.data.scenes import Scene
from lira.data.synthetic import SyntheticData
from lira.decoder import TinyDecoder
from lira.latents import LATENT_KINDS
from lira.model import LiRAModel, wake_zero_weights
from lira.training import denoiser, text
from lira.training.recipe import Recipe, resolve, resolve_as
from lira.training.samples import Sheets
from lira.training.watch import View, read_curve
from lira_runtime.errors import BadInput
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


def test_the_text_encoders_first_weights_follow_from_the_recipes_seed() -> None:
    tokenizer, found = ClipTokenizer.vendored(), []
    for number, seed in enumerate((1, 1, 2)):
        torch.manual_seed(number)
        state = text.new_state(tokenizer, resolve_as(text.TextRecipe, "text-demo", [f"run.seed={seed}"]))
        found.append(state.model.heads["first"].weight)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_labels_name_the_values_of_a_scene() -> None:
    scene = Scene("frog", "blue", relation="above", second="bicycle")
    indices = {name: int(label[0]) for name, label in text.labels([scene]).items()}
    values = {name: text.CHOICES[name][index] for name, index in indices.items()}
    assert values["first"] == "frog" and values["second"] == "bicycle" and values["relation"] == "above"
    assert values["background"] == "blue" and values["size"] == "large" and values["position"] == "centre"


def test_words_that_no_caption_uses_start_silent_and_the_others_do_not() -> None:
    tokenizer = ClipTokenizer.vendored()
    state = text.new_state(tokenizer, resolve_as(text.TextRecipe, "text-demo"))
    table = state.model.encoder.clip.embeddings.token_embedding.table.weight
    unseen, seen = (tokenizer.encode(word).ids[0, 1] for word in ("parliament", "bicycle"))
    assert not table[unseen].any() and table[seen].any()


def awake(seed: int) -> LiRAModel:
    torch.manual_seed(seed)
    network = LiRAModel("nano", 4, 32, 4)
    wake_zero_weights(network)
    return network


def test_a_sheet_is_drawn_by_the_weights_that_it_is_given(tmp_path: Path) -> None:
    decoder, one, other = TinyDecoder(LATENT_KINDS["demo"]).eval(), awake(0), awake(1)
    wake_zero_weights(decoder)
    sheets, data = Sheets(decoder, tmp_path), SyntheticData("demo", 64, 32, count=4)
    for step, (network, weights) in enumerate([(one, one), (other, one), (one, other)]):
        sheets.draw(network, weights.state_dict(), data, step)
    drawn = [(tmp_path / f"step-{step:06d}.png").read_bytes() for step in range(3)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("count", "size"), [(3, (192, 64)), (5, (256, 64))])
def test_a_sheet_of_few_samples_is_one_row(tmp_path: Path, count: int, size: tuple[int, int]) -> None:
    data, network = SyntheticData("demo", 64, d_text=32, count=count), LiRAModel("nano", 4, 32, 4)
    Sheets(TinyDecoder(LATENT_KINDS["demo"]).eval(), tmp_path).draw(network, network.state_dict(), data, 1)
    assert Image.open(tmp_path / "step-000001.png").size == size


def test_a_sheet_shows_what_the_averaged_weights_draw_and_tensorboard_its_scalars(tmp_path: Path) -> None:
    save_module(TinyDecoder(LATENT_KINDS["demo"]), tmp_path / "decoder.safetensors", torch.float16)
    recipe = smoke(
        "stages.0.resolution=64",
        "stages.0.steps=2",
        "optimiser.warmup_steps=1",
        "run.sample_every=2",
        "run.log_every=1",
    )
    view = View(tensorboard=True, decoder=tmp_path / "decoder.safetensors")
    denoiser.run(recipe, [SyntheticData("demo", 64, d_text=32)], tmp_path / "run", False, view)
    assert [path.name for path in (tmp_path / "run" / "samples").iterdir()] == ["step-000002.png"]
    assert Image.open(tmp_path / "run" / "samples" / "step-000002.png").size == (256, 256)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    points = read_curve(tmp_path / "run" / "curve.jsonl")
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (point["step"], pytest.approx(point["loss"], rel=1e-6)) for point in points
    ]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (SyntheticData("f8c4", 128, 32), "trains demo latents, but its data holds f8c4"),
        (SyntheticData("demo", 64, 32), "trains at 128 px, but its data holds pictures of 64 px"),
    ],
)
def test_data_of_another_kind_or_size_is_refused_before_work(
    tmp_path: Path, data: SyntheticData, complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        denoiser.run(smoke(), [data], tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()

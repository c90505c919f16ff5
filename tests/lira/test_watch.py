"""How a run is shown, and what a continuation with another recipe says."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lira.checkpoint import save_tensors
from lira.decoder import TinyDecoder
from lira.latents import LATENT_KINDS
from lira.training import autoencoder, decoder
from lira.training.loop import adamw, begin
from lira.training.perceptual import PyramidDistance
from lira.training.pictures import EncodedPictures
from lira.training.recipe import Optimiser, resolve_as
from lira.training.state import Ema, Rank, TrainingState, changed_values
from lira.training.watch import View, Watch, read_curve
from lira_runtime.errors import BadInput


def state_of(recipe: str) -> TrainingState:
    model = nn.Linear(2, 2)
    return TrainingState(model, adamw(model, Optimiser(rate=0.1)), Ema(model, 0.9), recipe=recipe)


def test_a_recipe_changed_by_a_continuation_is_told_value_by_value() -> None:
    before, after = '{"a": {"b": 1, "c": [1, 2]}, "d": "x"}', '{"a": {"b": 1, "c": [1, 3]}, "e": true}'
    assert changed_values(before, after) == (
        "a.c.1 was 2 and is 3 from here on.",
        "d was x and is None from here on.",
        "e was None and is True from here on.",
    )
    assert changed_values(before, before) == changed_values("", after) == ()


def test_a_resumed_run_warns_of_the_change_as_a_line_or_as_json(tmp_path: Path, capsys) -> None:
    state_of('{"steps": 9}').save(tmp_path / "state.safetensors")
    state = state_of('{"steps": 12}')
    begin(state, tmp_path, resume=True, steps=12)
    Watch(tmp_path, state, 12, 1).__exit__(None, None, None)
    assert capsys.readouterr().err == "warning: steps was 9 and is 12 from here on.\n"
    Watch(tmp_path, state, 12, 1, View(json=True)).__exit__(None, None, None)
    told = json.loads(capsys.readouterr().out)
    assert told == {"event": "note", "text": "steps was 9 and is 12 from here on.", "level": "warning"}


@pytest.mark.parametrize(
    ("metadata", "extra"),
    [
        ({"training": '{"step": 1, "seconds": 0.5}'}, {}),
        ({"training": '{"step": "x", "seconds": 0.5, "settings": {}}'}, {}),
        ({"training": "{"}, {}),
        ({"training": '{"step": 1, "seconds": 0.5, "settings": {}}', "recipe": "{"}, {}),
        ({"training": '{"step": 1, "seconds": 0.5, "settings": {}}'}, {"optimizer.9.exp_avg": torch.zeros(1)}),
        ({"training": '{"step": 1, "seconds": 0.5, "settings": {}}'}, {"optimizer.x": torch.zeros(1)}),
    ],
)
def test_a_damaged_training_state_is_one_sentence(tmp_path: Path, metadata: dict[str, str], extra) -> None:
    state = state_of('{"steps": 12}')
    weights = state.model.state_dict()
    tensors = {f"{part}.{name}": value.clone() for part in ("model", "ema") for name, value in weights.items()}
    save_tensors(tmp_path / "s.safetensors", {**tensors, **extra}, metadata)
    with pytest.raises(BadInput, match="The training state in .* is damaged"):
        state.load(tmp_path / "s.safetensors")


def test_a_run_clears_away_its_own_half_written_files_and_no_others(tmp_path: Path) -> None:
    ours, others = tmp_path / ".lira-x1_y.part", [tmp_path / "x.part", tmp_path / "samples" / ".lira-x.part"]
    others[1].parent.mkdir()
    for path in (ours, *others):
        path.touch()
    second = state_of("{}")
    second.rank = Rank(1, 2)
    begin(second, tmp_path, resume=False, steps=1)
    assert ours.exists()
    begin(state_of("{}"), tmp_path, resume=False, steps=1)
    assert not ours.exists() and all(path.exists() for path in others)


def test_steps_and_held_out_figures_are_shown_when_due_and_all_steps_are_in_the_curve(tmp_path: Path, capsys) -> None:
    state = state_of("")
    with Watch(tmp_path, state, 5, 2, View(json=True)) as watch:
        for step in range(1, 6):
            state.step = step
            watch.record(state, {"loss": step / 8, "pixel": 0.5}, 4)
        watch.held_out(5, {"PSNR in dB": 30.5})
    *trained, held_out = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(point["event"], point["step"], point["terms"]["loss"]) for point in trained] == [
        ("train", 2, 0.25),
        ("train", 4, 0.5),
        ("train", 5, 0.625),
    ]
    assert held_out == {"event": "held_out", "step": 5, "figures": {"PSNR in dB": 30.5}}
    assert [(point["loss"], point["pixel"], point["rate"]) for point in read_curve(tmp_path / "curve.jsonl")] == [
        (step / 8, 0.5, 0.1) for step in range(1, 6)
    ]


def test_what_a_decoder_has_come_to_is_a_sentence_on_stdout_or_an_event_alone(tmp_path: Path, capsys) -> None:
    generator = torch.Generator().manual_seed(0)
    image, latent = (torch.rand(shape, generator=generator) for shape in ((1, 3, 192, 192), (1, 4, 24, 24)))
    check, untrained = [EncodedPictures(image, latent)], TinyDecoder(LATENT_KINDS["demo"]).eval()
    for view in (View(), View(json=True)):
        with Watch(tmp_path, state_of(""), 1, 1, view) as watch:
            decoder.finish(untrained, "e", PyramidDistance(), check, tmp_path, watch)
    told = capsys.readouterr()
    lines, events = told.out.splitlines()[:3], [json.loads(line) for line in told.out.splitlines()[3:]]
    assert [event["event"] for event in events] == ["held_out"] * 3 and not told.err
    for line, figures in zip(lines, (event["figures"] for event in events), strict=True):
        assert line.startswith(f"held-out, latent noise {figures['latent_noise']}: PSNR {figures['PSNR in dB']:.2f} dB")


@pytest.mark.parametrize(("saved", "what"), [(4, "step 4 is saved"), (None, "no step is saved yet")])
def test_an_interrupted_run_says_what_is_saved_and_how_to_go_on(tmp_path: Path, capsys, saved, what: str) -> None:
    state = state_of("")
    state.saved_step = saved
    for view in (View(), View(json=True)):
        with pytest.raises(KeyboardInterrupt), Watch(tmp_path, state, 9, 1, view):
            raise KeyboardInterrupt
    told = capsys.readouterr()
    assert told.err == f"{what} in {tmp_path}; --resume goes on.\n"
    assert json.loads(told.out) == {"event": "interrupted", "saved_step": saved, "out": str(tmp_path)}


def test_speed_and_time_left_are_of_the_last_log_every_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    clock = SimpleNamespace(monotonic=iter((0, 1, 4, 10, 11)).__next__)
    monkeypatch.setattr("lira.training.watch.time", clock)
    state = state_of("")
    with Watch(tmp_path, state, 6, 2, View(json=True)) as shown:
        for step, images in enumerate((4, 4, 8, 2), 1):
            state.step = step
            shown.record(state, {"loss": 0.5}, images)
    speeds = [point["images_per_second"] for point in read_curve(tmp_path / "curve.jsonl")]
    assert speeds == pytest.approx([4 / 1, 8 / 4, 12 / 9, 10 / 7], abs=0.005)
    told = [json.loads(line)["eta_seconds"] for line in capsys.readouterr().out.splitlines()]
    assert told == [8, 7]  # 4 steps at 2 s, 2 at 3.5


def test_the_autoencoder_goes_on_after_a_stop_as_if_there_had_been_none(tmp_path: Path, monkeypatch, capsys) -> None:
    def batch(emoji, count: int, seed: tuple[int, int], held_out: bool, device) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(sum(seed))
        return torch.rand(2, 3, 64, 64, generator=generator), torch.ones(2, 1, 64, 64, dtype=torch.bool)

    monkeypatch.setattr(autoencoder, "scene_batch", batch)

    def go(folder: Path, stops: list[int]) -> dict[str, torch.Tensor]:
        for number, stop in enumerate(stops):
            torch.manual_seed(len(stops))  # the first weights follow from the recipe's seed, not from this
            overrides = [f"steps={stop}", "optimiser.warmup_steps=0"]
            recipe = resolve_as(autoencoder.AutoencoderRecipe, "autoencoder-demo", overrides)
            state = autoencoder.new_state(recipe)
            begin(state, folder, resume=number > 0, steps=stop)
            with Watch(folder, state, stop, 50) as watch:
                autoencoder.train(state, None, recipe, folder, watch)  # type: ignore[arg-type]
        return state.model.state_dict()

    monkeypatch.setattr("lira.training.loop.cosine_rate", lambda *_: 1.0)
    whole, parts = go(tmp_path / "whole", [4]), go(tmp_path / "parts", [2, 4])
    for name, value in whole.items():
        assert torch.equal(parts[name], value), name
    assert "held out: PSNR in dB" in capsys.readouterr().err

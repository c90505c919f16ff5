"""Whatever is measured on held-out scenes was trained on the others alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lira.data import sources
from lira.data.emoji import EmojiSet
from lira.data.scenes import is_held_out
from lira.evaluation import judge_training
from lira.training import autoencoder, text
from lira.training.decoder import DecoderRecipe, scene_sources
from lira.training.recipe import resolve_as
from lira.training.text import TextRecipe
from lira_runtime.progress import Progress
from lira_runtime.tokenizer import ClipTokenizer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of every scene that is drawn, whether a held-out one was asked for."""
    splits: list[bool] = []

    def watched(sample: Callable[..., Any]) -> Callable[..., Any]:
        return lambda rng, held_out, *rest: splits.append(held_out) or sample(rng, held_out, *rest)

    for module in (autoencoder, judge_training, text, sources):
        monkeypatch.setattr(module, "sample_split", watched(module.sample_split))
    return splits


def test_the_judge(emoji: EmojiSet, asked: list[bool]) -> None:
    judge = judge_training.train(emoji, judge_training.Recipe(steps=2, batch=2), 0, Progress(2, "judge"))
    assert set(asked) == {False}
    asked.clear()
    assert judge_training.measure(judge, emoji, 10).shares["all"].count == 10
    assert set(asked) == {True}


def test_the_text_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[bool]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(text, "accuracy", lambda *_: 1.0)
        recipe = resolve_as(TextRecipe, "text-demo", ["steps=1", "batch=2", "optimiser.warmup_steps=0"])
        text.run(recipe, tmp_path, resume=False)
    assert set(asked) == {False}
    asked.clear()
    text.accuracy(text.AttributeReader(text.TextEncoder("demo")), ClipTokenizer.vendored(), 2)
    assert set(asked) == {True}


def test_the_decoder(emoji_folder: Path) -> None:
    trained, measured = scene_sources(emoji_folder, resolve_as(DecoderRecipe, "decoder-demo", ["steps=60"]))
    assert not any(is_held_out(scene) for scene, _ in trained.scenes)
    assert all(is_held_out(scene) for scene, _ in measured.scenes)

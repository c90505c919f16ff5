"""Recipes are typed: what they do not know, and what makes no sense, is refused with its place."""

from pathlib import Path

import pytest

from lira.training.recipe import resolve, stored
from lira_runtime.errors import BadInput


def test_the_full_recipe_is_progressive_and_its_steps_find_their_stage() -> None:
    recipe = resolve("full")
    assert [(s.resolution, s.steps) for s in recipe.stages] == [(256, 50_000), (512, 30_000), (1024, 20_000)]
    assert (recipe.optimiser.clip, recipe.optimiser.warmup_steps, recipe.optimiser.ema_decay) == (1.0, 1000, 0.9999)
    places = [(recipe.stage_at(step)[0].resolution, recipe.stage_at(step)[1]) for step in (0, 49_999, 50_000, 99_999)]
    assert places == [(256, 0), (256, 49_999), (512, 0), (1024, 19_999)]


def test_the_curriculum_moves_the_location_linearly_from_near_noise() -> None:
    times = resolve("demo").times
    assert [times.at(step).mu for step in (0, 1500, 3000, 9000)] == [-3.0, -2.25, -1.5, -1.5]
    assert resolve("demo", ["times.curriculum_steps=0"]).times.at(0).mu == -1.5


def test_overrides_reach_every_level_and_a_stored_recipe_comes_back() -> None:
    overrides = ["optimiser.rate=1e-3", "stages.0.batch=16", "model.preset=tiny", "run.bf16=false", "data=/data/x y"]
    recipe = resolve("demo", overrides)
    assert (recipe.optimiser.rate, recipe.stages[0].batch, recipe.model.preset) == (1e-3, 16, "tiny")
    assert (recipe.run.bf16, recipe.data) == (False, "/data/x y")
    assert stored(recipe.json(), [], "a checkpoint") == recipe


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("optimiser.rate", "section.key=value"),
        ("=1", "section.key=value"),
        ("optimizer.rate=1", "no 'optimizer'"),
        ("optimiser.speed=1", "unknown field `speed`"),
        ("optimiser.rate.x=1", "is a value, not a section"),
        ("optimiser.rate=fast", "rate"),
        ("optimiser.rate=nan", "rate"),
        ("optimiser.rate=inf", "rate"),
        ("optimiser.rate=-1", "rate"),
        ("stages.1.batch=4", "no 'stages.1'"),
        ("stages.0.batch=0", "batch"),
        ("stages=[]", "stages"),
        ("objective.caption_dropout=1.5", "caption_dropout"),
        ("model.preset=huge", "huge"),
        ("model.latent=huge", "huge"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused_with_its_place(override: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        resolve("demo", [override])


def test_a_file_is_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(BadInput, match="No recipe at"):
        resolve(str(path))
    path.write_text("[model\n")
    with pytest.raises(BadInput, match="no readable TOML"):
        resolve(str(path))
    path.write_text(resolve("demo").json())
    with pytest.raises(BadInput, match="no readable TOML"):
        resolve(str(path))
    path.write_text('[model]\npreset = "nano"\nlatent = "demo"\n')
    with pytest.raises(BadInput, match="missing required field"):
        resolve(str(path))
    with pytest.raises(BadInput, match="choose one of demo, full, smoke, or"):
        resolve("demmo")

"""A run goes on with its own recipe, and to a step that it has not passed."""

import json
from pathlib import Path

import msgspec
import pytest
from torch import nn

from lira.training.choice import chosen_recipe
from lira.training.loop import adamw, begin
from lira.training.recipe import Optimiser, Recipe, resolve, resolve_as
from lira.training.state import Ema, TrainingState
from lira.training.text import TextRecipe
from lira_runtime.errors import BadInput

SHORT = resolve_as(TextRecipe, "text-demo", ["steps=20", "optimiser.warmup_steps=0"])


def state_of(recipe: TextRecipe | Recipe, step: int = 0) -> TrainingState:
    model = nn.Linear(2, 2)
    text = msgspec.json.encode(recipe).decode()
    return TrainingState(model, adamw(model, Optimiser(rate=0.1)), Ema(model, 0.9), step=step, recipe=text)


def test_resume_alone_takes_the_runs_own_recipe_before_its_first_save_and_after(tmp_path: Path) -> None:
    begin(state_of(SHORT), tmp_path, resume=False, steps=20)
    assert chosen_recipe(TextRecipe, None, [], tmp_path, True, "text-demo") == SHORT
    longer = msgspec.structs.replace(SHORT, steps=30)
    state_of(longer, 5).save(tmp_path / "state.safetensors")
    assert chosen_recipe(TextRecipe, None, [], tmp_path, True, "text-demo") == longer
    assert chosen_recipe(TextRecipe, None, ["steps=40"], tmp_path, True, "text-demo").steps == 40


def test_a_named_recipe_goes_first_and_the_default_last(tmp_path: Path) -> None:
    begin(state_of(SHORT), tmp_path / "run", resume=False, steps=20)
    usual = resolve_as(TextRecipe, "text-demo")
    assert chosen_recipe(TextRecipe, "text-demo", [], tmp_path / "run", True, "text-demo") == usual
    assert chosen_recipe(TextRecipe, None, [], tmp_path / "run", False, "text-demo") == usual
    assert chosen_recipe(TextRecipe, None, [], tmp_path / "other", True, "text-demo") == usual
    with pytest.raises(BadInput, match="other holds no recipe yet: name one with --recipe"):
        chosen_recipe(Recipe, None, [], tmp_path / "other", True, None)
    with pytest.raises(BadInput, match="Say which recipe: --recipe NAME, or --resume"):
        chosen_recipe(Recipe, None, [], tmp_path / "other", False, None)


def test_the_recipe_of_another_training_is_refused(tmp_path: Path) -> None:
    begin(state_of(resolve("smoke")), tmp_path, resume=False, steps=40)
    with pytest.raises(BadInput, match=r"recipe.json is of another training .*: choose another folder"):
        chosen_recipe(TextRecipe, None, [], tmp_path, True, "text-demo")


def test_fewer_steps_than_the_run_has_done_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    state_of(SHORT, 12).save(tmp_path / "state.safetensors")
    with pytest.raises(BadInput, match="is at step 12 already: 2 steps in all are too few"):
        begin(state_of(SHORT), tmp_path, resume=True, steps=2)
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    begin(state_of(SHORT), tmp_path, resume=True, steps=20)
    assert json.loads((tmp_path / "recipe.json").read_text())["steps"] == 20

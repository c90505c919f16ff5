"""Recipes are typed: what they do not know, and what makes no sense, is refused with its place."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lira.latents import latent_kind
from lira.training import cli
from lira.training.autoencoder import AutoencoderRecipe
from lira.training.decoder import DecoderRecipe
from lira.training.launch import Processes
from lira.training.recipe import Recipe, recipe_names, resolve, resolve_as, stored
from lira.training.state import Rank
from lira.training.student import StudentRecipe
from lira.training.text import TextRecipe
from lira_runtime.errors import BadInput


def test_the_full_recipe_is_progressive_and_its_steps_find_their_stage() -> None:
    recipe = resolve("full")
    sides = [stage.resolution for stage in recipe.stages]
    assert len(sides) > 1 and sides == sorted(set(sides))
    kind = latent_kind(recipe.model.latent)
    cell = kind.scale * kind.patch_size
    assert all(side % cell == 0 for side in sides)
    first = recipe.stages[0].steps
    wanted = {0: (0, 0), first - 1: (0, first - 1), first: (1, 0), recipe.steps - 1: (-1, recipe.stages[-1].steps - 1)}
    found = {step: recipe.stage_at(step) for step in wanted}
    assert found == {step: (recipe.stages[stage], within) for step, (stage, within) in wanted.items()}


def test_the_curriculum_moves_the_location_linearly_from_near_noise() -> None:
    times = resolve("demo").times
    assert [times.at(step).mu for step in (0, 1500, 3000, 9000)] == [-3.0, -2.25, -1.5, -1.5]
    assert resolve("demo", ["times.curriculum_steps=0"]).times.at(0).mu == -1.5


def test_overrides_reach_every_level_and_a_stored_recipe_comes_back() -> None:
    overrides = ["optimiser.rate=1e-3", "stages.0.batch=16", "model.preset=tiny", "run.bf16=false", "data=/data/x y"]
    recipe = resolve("demo", overrides)
    assert (recipe.optimiser.rate, recipe.stages[0].batch, recipe.model.preset) == (1e-3, 16, "tiny")
    assert (recipe.run.bf16, recipe.data) == (False, "/data/x y")
    assert stored(Recipe, recipe.json(), "a checkpoint") == recipe


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("optimiser.rate", "section.key=value"),
        ("=1", "section.key=value"),
        ("optimizer.rate=1", "no 'optimizer'; choose one of model, stages, times, optimiser, objective, run, data"),
        ("optimiser.speed=1", "no 'optimiser.speed'; choose one of rate, betas, weight_decay, clip, warmup_steps"),
        ("stages.0.size=1", "no 'stages.0.size'; choose one of resolution, steps, batch, data"),
        ("optimiser.rate.x=1", "is a value, not a section"),
        ("optimiser.rate=fast", "rate"),
        ("optimiser.rate=nan", "rate"),
        ("optimiser.rate=inf", "rate"),
        ("optimiser.rate=-1", "rate"),
        ("stages.1.batch=4", "no 'stages.1'; choose one of 0"),
        ("stages.0.batch=0", "batch"),
        ("run.seed=99999999999999999999", "run.seed"),
        ("run.seed=2147483648", "run.seed"),
        ("stages.0.steps=200", "warmup_steps is 200, not below the run's 200 steps"),
        ("stages=[]", "stages"),
        ("objective.caption_dropout=1.5", "caption_dropout"),
        ("model.preset=huge", "huge"),
        ("model.latent=huge", "huge"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused_with_its_place(override: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        resolve("demo", [override])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (AutoencoderRecipe, "autoencoder-demo"),
        (AutoencoderRecipe, "autoencoder-demo-gpu"),
        (TextRecipe, "text-demo"),
        (DecoderRecipe, "decoder"),
        (DecoderRecipe, "decoder-demo"),
        (StudentRecipe, "turbo-demo"),
    ],
)
def test_the_other_recipes_have_no_samples_to_draw_and_a_warm_up_below_their_steps(kind: type, name: str) -> None:
    assert name in recipe_names(kind)
    resolve_as(kind, name)
    with pytest.raises(BadInput, match="no 'run.sample_every'; choose one of bf16, seed, save_every, log_every"):
        resolve_as(kind, name, ["run.sample_every=1"])
    with pytest.raises(BadInput, match="not below the run's"):
        resolve_as(kind, name, ["optimiser.warmup_steps=1000000"])


@pytest.mark.parametrize("command", [["text"], ["autoencoder", "--emoji", "x"]])
def test_what_one_process_trains_is_refused_by_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def start(self: Processes) -> None:
        self.rank = Rank(1, 2)

    monkeypatch.setattr(Processes, "__init__", start)
    result = CliRunner().invoke(cli.command, [*command, "--out", str(tmp_path / "out"), "--set", "steps=101"])
    assert isinstance(result.exception, BadInput) and "by one process, not by 2" in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("before", ["optimiser.rate={x=1}", "optimiser=[{}]", "optimiser={}"])
def test_overrides_of_another_shape_than_the_recipes_are_refused(before: str) -> None:
    with pytest.raises(BadInput, match="optimiser"):
        resolve("demo", [before, f"{before.partition('=')[0]}{'.0.x' if '[' in before else '.x'}=1"])


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
    with pytest.raises(BadInput, match="choose one of demo, demo-gpu, full, smoke, or"):
        resolve("demmo")

"""`lira-train`: one subcommand for each thing that is trained, in the order in which the demo's are run."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from lira_runtime import events
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_names
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.group import Group

if TYPE_CHECKING:
    from lira.training.recipe import AnyRecipe

FOLDER = click.Path(path_type=Path)
OUT = click.Path(path_type=Path, file_okay=False)
cache_option = click.option("--cache", type=FOLDER, help="Folder for copies of what is remote.")
json_option = click.option("--json", is_flag=True, help=events.JSON_HELP)
RUN_OPTIONS = (
    click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Another value in the recipe."),
    json_option,
    click.option("--tensorboard", is_flag=True, help="Write TensorBoard's files to OUT/tensorboard."),
    click.option("--out", type=OUT, required=True, help="Folder for the state and the weights."),
    click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True),
    click.option("--resume", is_flag=True, help="Go on from the state in --out, or start where it holds none yet."),
)


class Trained(events.Result, frozen=True, kw_only=True, tag="result"):
    """The run is complete, and its weights are in the folder; or the plot of a curve is there."""

    command: Literal["lira-train"] = "lira-train"
    out: str


@dataclass(frozen=True)
class Run:
    """The options that every training has."""

    recipe_name: str | None
    default_recipe: str | None
    overrides: tuple[str, ...]
    json: bool
    tensorboard: bool
    out: Path
    resume: bool

    def recipe(self, kind: "type[AnyRecipe]") -> "AnyRecipe":
        """The recipe of that kind that the options choose; see `chosen_recipe`."""
        from lira.training.choice import chosen_recipe

        return chosen_recipe(kind, self.recipe_name, self.overrides, self.out, self.resume, self.default_recipe)


def run_options(default_recipe: str | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --recipe and RUN_OPTIONS: it is called with a Run before its own options, threads set."""

    def given(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def called(
            recipe_name: str | None,
            overrides: tuple[str, ...],
            json: bool,
            tensorboard: bool,
            out: Path,
            threads: int,
            resume: bool,
            **own: Any,
        ) -> None:
            import torch

            torch.set_num_threads(threads)
            torch.backends.cudnn.benchmark = True  # every step has the same shapes; without a GPU it does nothing
            function(Run(recipe_name, default_recipe, overrides, json, tensorboard, out, resume), **own)
            if json:
                _say_done(out)

        usual = f"default: {default_recipe}, or with --resume" if default_recipe else "--resume takes"
        known = complete_names(_recipes)
        text = f"A name or a .toml file; {usual} the stored one."
        recipe = click.option("--recipe", "recipe_name", shell_complete=known, help=text)
        for option in (*reversed(RUN_OPTIONS), recipe):
            called = option(called)
        return called

    return given


def _recipes() -> list[str]:
    return sorted(path.name.removesuffix(".toml") for path in (resources.files("lira") / "recipes").iterdir())


def _say_done(out: Path) -> None:
    """Once, where several processes share the run."""
    if os.environ.get("RANK", "0") == "0":
        events.emit(Trained(out=str(out)))


@click.group(cls=Group, epilog=EXIT_CODES_HELP, no_args_is_help=False)
@version_option("lira-train")
def command() -> None:
    """Train the parts of LiRA; every run can be stopped at any time and resumed."""


@command.command("autoencoder")
@click.option("--emoji", type=FOLDER, required=True, help="The Fluent Emoji package, .tgz or unpacked.")
@click.option(
    "--start", type=FOLDER, help="Folder of the encoder.safetensors and decoder.safetensors to begin with; else fresh."
)
@run_options("autoencoder-demo")
def autoencoder_command(run: Run, emoji: Path, start: Path | None) -> None:
    """Encoder and tiny decoder, together, on rendered scenes."""
    from lira.training import autoencoder
    from lira.training.watch import View

    recipe = run.recipe(autoencoder.AutoencoderRecipe)
    autoencoder.run(recipe, emoji, run.out, run.resume, View(run.json, run.tensorboard), start)


@command.command("decoder")
@click.option("--encoder", required=True, help="Frozen encoder: encoder.safetensors, or a diffusers directory or name.")
@click.option("--start", type=FOLDER, help="decoder.safetensors to begin with; without it, the decoder is fresh.")
@click.option("--emoji", type=FOLDER, help="Train on rendered scenes: the Fluent Emoji package, .tgz or unpacked.")
@click.option("--images", multiple=True, help="Train on shards of images: paths, globs, ranges or fsspec URLs.")
@click.option("--held-out", multiple=True, help="Shards to measure on; needed with --images.")
@cache_option
@run_options("decoder-demo")
def decoder_command(
    run: Run,
    encoder: str,
    start: Path | None,
    emoji: Path | None,
    images: tuple[str, ...],
    held_out: tuple[str, ...],
    cache: Path | None,
) -> None:
    """The tiny decoder of any latent kind, its encoder frozen, measured on held-out pictures."""
    from lira.training import decoder
    from lira.training.watch import View

    recipe = run.recipe(decoder.DecoderRecipe)
    if (emoji is None) == (not images) or bool(images) != bool(held_out):
        raise BadInput("Give either --emoji, or --images with --held-out.")
    if emoji is not None:
        source, measured = decoder.scene_sources(emoji, recipe)
    else:
        source, measured = decoder.image_sources(images, held_out, recipe, cache, run.json)
    decoder.run(recipe, encoder, start, source, measured, run.out, run.resume, View(run.json, run.tensorboard))


@command.command("text")
@run_options("text-demo")
def text_command(run: Run) -> None:
    """The small CLIP text encoder, on captions alone."""
    from lira.training import text
    from lira.training.watch import View

    text.run(run.recipe(text.TextRecipe), run.out, run.resume, View(run.json, run.tensorboard))


@command.command("denoiser")
@click.option("--data", default="", help="Folder or URL that lira-encode wrote, or the parent of the stages' folders.")
@cache_option
@click.option(
    "--decoder", type=FOLDER, help="Decoder weights: draw a sheet to OUT/samples every run.sample_every steps."
)
@click.option("--start", type=FOLDER, help="denoiser.safetensors to begin with; without it, the network is fresh.")
@run_options(None)
def denoiser_command(run: Run, data: str, cache: Path | None, decoder: Path | None, start: Path | None) -> None:
    """The velocity network, by flow matching on encoded data; `accelerate launch -m lira.training.cli` for several."""
    from lira.training import denoiser
    from lira.training.recipe import Recipe
    from lira.training.watch import View

    recipe = run.recipe(Recipe)
    recipe = msgspec.structs.replace(recipe, data=data) if data else recipe
    encoded, view = denoiser.open_data(recipe, cache, run.json), View(run.json, run.tensorboard, decoder)
    denoiser.run(recipe, encoded, run.out, run.resume, view, start)


@command.command("student")
@click.option("--teacher", type=FOLDER, required=True, help="Weights of the trained denoiser, denoiser.safetensors.")
@click.option("--data", required=True, help="Folder or URL that lira-encode wrote; its texts are drawn.")
@cache_option
@run_options("turbo-demo")
def student_command(run: Run, teacher: Path, data: str, cache: Path | None) -> None:
    """A denoiser that draws in a few steps without guidance, distilled from a trained one.

    The teacher's drawings are made first and kept in OUT/trajectories; a run that was stopped before they were complete
    makes only those that are missing.
    """
    from lira.data.stream import EncodedData
    from lira.training import student
    from lira.training.watch import View

    recipe = run.recipe(student.StudentRecipe)
    student.run(
        teacher, EncodedData(data, cache, run.json), recipe, run.out, run.resume, View(run.json, run.tensorboard)
    )


@command.command("constant")
@click.option("--denoiser", type=FOLDER, required=True, help="Weights of the trained denoiser, denoiser.safetensors.")
@click.option("--data", required=True, help="Folder or URL that lira-encode wrote.")
@cache_option
@click.option("--steps", type=click.IntRange(min=1), required=True, help="Steps over all runs.")
@run_options("demo")
def constant_command(run: Run, denoiser: Path, data: str, cache: Path | None, steps: int) -> None:
    """One plan in the place of the reasoning loop, to see what the loop is worth."""
    from lira.data.stream import EncodedData
    from lira.training import constant
    from lira.training.recipe import Recipe
    from lira.training.watch import View

    constant.check_overrides(run.overrides)
    recipe = constant.constant_recipe(run.recipe(Recipe), steps)
    constant.run(
        denoiser, recipe, EncodedData(data, cache, run.json), run.out, run.resume, View(run.json, run.tensorboard)
    )


@command.command("curve")
@click.argument("curve", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The PNG to write.")
@json_option
def curve_command(curve: Path, out: Path, json: bool) -> None:
    """Plot the curve.jsonl that a run wrote."""
    from lira.training.curve import plot_curve

    plot_curve(curve, out)
    if json:
        _say_done(out)


main = cli_guard(command)

if __name__ == "__main__":
    main()

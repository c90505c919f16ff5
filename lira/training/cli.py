"""`lira-train`: one subcommand for each thing that is trained, in the order in which the demo's are run."""

from pathlib import Path

import click
import msgspec

from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard

FOLDER = click.Path(path_type=Path)
out_option = click.option("--out", type=FOLDER, required=True, help="Folder for the state and the weights.")
steps_option = click.option("--steps", type=click.IntRange(min=1), required=True, help="Steps over all runs.")
threads_option = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Another value in the recipe."
)
json_option = click.option("--json", is_flag=True, help="JSON lines on stderr.")
cache_option = click.option("--cache", type=FOLDER, help="Folder for copies of what is remote.")
tensorboard_option = click.option("--tensorboard", is_flag=True, help="Write TensorBoard's files to OUT/tensorboard.")
resume_option = click.option(
    "--resume", is_flag=True, help="Go on from the state in --out, or start where it holds none yet."
)


@click.group(epilog=EXIT_CODES_HELP, no_args_is_help=False)
def command() -> None:
    """Train the parts of LiRA; every run can be stopped at any time and resumed."""


@command.command("autoencoder")
@click.option("--emoji", type=FOLDER, required=True, help="The Fluent Emoji package, .tgz or unpacked.")
@click.option("--recipe", "recipe_name", default="autoencoder-demo", show_default=True, help="A name or a .toml file.")
@set_option
@json_option
@tensorboard_option
@out_option
@threads_option
@resume_option
def autoencoder_command(
    emoji: Path,
    recipe_name: str,
    overrides: tuple[str, ...],
    json: bool,
    tensorboard: bool,
    out: Path,
    threads: int,
    resume: bool,
) -> None:
    """Encoder and tiny decoder, together, on rendered scenes."""
    import torch

    from lira.training import autoencoder
    from lira.training.recipe import resolve_as
    from lira.training.watch import View

    torch.set_num_threads(threads)
    recipe = resolve_as(autoencoder.AutoencoderRecipe, recipe_name, overrides)
    autoencoder.run(recipe, emoji, out, resume, View(json, tensorboard))


@command.command("decoder")
@click.option("--encoder", required=True, help="Frozen encoder: encoder.safetensors, or a diffusers directory or name.")
@click.option("--start", type=FOLDER, help="decoder.safetensors to begin with; without it, the decoder is fresh.")
@click.option("--emoji", type=FOLDER, help="Train on rendered scenes: the Fluent Emoji package, .tgz or unpacked.")
@click.option("--images", multiple=True, help="Train on shards of images: paths, globs, ranges or fsspec URLs.")
@click.option("--held-out", multiple=True, help="Shards to measure on; needed with --images.")
@cache_option
@click.option("--recipe", "recipe_name", default="decoder-demo", show_default=True, help="A name or a .toml file.")
@set_option
@json_option
@tensorboard_option
@out_option
@threads_option
@resume_option
def decoder_command(
    encoder: str,
    start: Path | None,
    emoji: Path | None,
    images: tuple[str, ...],
    held_out: tuple[str, ...],
    cache: Path | None,
    recipe_name: str,
    overrides: tuple[str, ...],
    json: bool,
    tensorboard: bool,
    out: Path,
    threads: int,
    resume: bool,
) -> None:
    """The tiny decoder of any latent kind, its encoder frozen, measured on held-out pictures."""
    import torch

    from lira.training import decoder
    from lira.training.recipe import resolve_as
    from lira.training.watch import View

    torch.set_num_threads(threads)
    recipe = resolve_as(decoder.DecoderRecipe, recipe_name, overrides)
    if (emoji is None) == (not images) or bool(images) != bool(held_out):
        raise BadInput("Give either --emoji, or --images with --held-out.")
    if emoji is not None:
        source, measured = decoder.scene_sources(emoji, recipe)
    else:
        source, measured = decoder.image_sources(images, held_out, recipe, cache, json)
    decoder.run(recipe, encoder, start, source, measured, out, resume, View(json, tensorboard))


@command.command("text")
@click.option("--recipe", "recipe_name", default="text-demo", show_default=True, help="A name or a .toml file.")
@set_option
@json_option
@tensorboard_option
@out_option
@threads_option
@resume_option
def text_command(
    recipe_name: str,
    overrides: tuple[str, ...],
    json: bool,
    tensorboard: bool,
    out: Path,
    threads: int,
    resume: bool,
) -> None:
    """The small CLIP text encoder, on captions alone."""
    import torch

    from lira.training import text
    from lira.training.recipe import resolve_as
    from lira.training.watch import View

    torch.set_num_threads(threads)
    text.run(resolve_as(text.TextRecipe, recipe_name, overrides), out, resume, View(json, tensorboard))


@command.command("denoiser")
@click.option("--recipe", "recipe_name", help="A recipe's name or .toml file; --resume takes the stored one.")
@click.option("--data", default="", help="Folder or URL that lira-encode wrote, or the parent of the stages' folders.")
@cache_option
@set_option
@json_option
@tensorboard_option
@click.option(
    "--decoder", type=FOLDER, help="Decoder weights: draw a sheet to OUT/samples every run.sample_every steps."
)
@out_option
@threads_option
@resume_option
def denoiser_command(
    recipe_name: str | None,
    data: str,
    cache: Path | None,
    overrides: tuple[str, ...],
    json: bool,
    tensorboard: bool,
    decoder: Path | None,
    out: Path,
    threads: int,
    resume: bool,
) -> None:
    """The velocity network, by flow matching on encoded data; `accelerate launch -m lira.training.cli` for several."""
    import torch

    from lira.training import denoiser
    from lira.training.watch import View

    torch.set_num_threads(threads)
    recipe = denoiser.chosen_recipe(recipe_name, overrides, out, resume)
    recipe = msgspec.structs.replace(recipe, data=data) if data else recipe
    denoiser.run(recipe, denoiser.open_data(recipe, cache, json), out, resume, View(json, tensorboard, decoder))


@command.command("student")
@click.option("--teacher", type=FOLDER, required=True, help="Weights of the trained denoiser, denoiser.safetensors.")
@click.option("--data", required=True, help="Folder or URL that lira-encode wrote; its texts are drawn.")
@cache_option
@click.option("--recipe", "recipe_name", default="turbo-demo", show_default=True, help="A name or a .toml file.")
@set_option
@json_option
@tensorboard_option
@out_option
@threads_option
@resume_option
def student_command(
    teacher: Path,
    data: str,
    cache: Path | None,
    recipe_name: str,
    overrides: tuple[str, ...],
    json: bool,
    tensorboard: bool,
    out: Path,
    threads: int,
    resume: bool,
) -> None:
    """A denoiser that draws in a few steps without guidance, distilled from a trained one.

    The teacher's drawings are made first and kept in OUT/trajectories; a run that was stopped before they were complete
    makes only those that are missing.
    """
    import torch

    from lira.data.stream import EncodedData
    from lira.training import student
    from lira.training.recipe import resolve_as
    from lira.training.watch import View

    torch.set_num_threads(threads)
    recipe = resolve_as(student.StudentRecipe, recipe_name, overrides)
    student.run(teacher, EncodedData(data, cache, json), recipe, out, resume, View(json, tensorboard))


@command.command("constant")
@click.option("--denoiser", type=FOLDER, required=True, help="Weights of the trained denoiser, denoiser.safetensors.")
@click.option("--data", required=True, help="Folder or URL that lira-encode wrote.")
@cache_option
@click.option("--recipe", "recipe_name", default="demo", show_default=True, help="That the denoiser was trained by.")
@set_option
@json_option
@tensorboard_option
@out_option
@steps_option
@threads_option
@resume_option
def constant_command(
    denoiser: Path,
    data: str,
    cache: Path | None,
    recipe_name: str,
    overrides: tuple[str, ...],
    json: bool,
    tensorboard: bool,
    out: Path,
    steps: int,
    threads: int,
    resume: bool,
) -> None:
    """One plan in the place of the reasoning loop, to see what the loop is worth."""
    import torch

    from lira.data.stream import EncodedData
    from lira.training import constant
    from lira.training.recipe import resolve
    from lira.training.watch import View

    torch.set_num_threads(threads)
    constant.check_overrides(overrides)
    recipe = constant.constant_recipe(resolve(recipe_name, overrides), steps)
    found = constant.run(denoiser, recipe, EncodedData(data, cache, json), out, resume, View(json, tensorboard))
    click.echo(f"velocity loss with the loop {found.loop:.4f}, with the constant {found.constant:.4f}")


@command.command("curve")
@click.argument("curve", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="The PNG to write.")
def curve_command(curve: Path, out: Path) -> None:
    """Plot the curve.jsonl that a run wrote."""
    from lira.training.curve import plot_curve

    plot_curve(curve, out)


main = cli_guard(command)

if __name__ == "__main__":
    main()

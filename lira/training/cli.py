"""`lira-train`: one subcommand a stage of the demo, in the order in which they are run."""

from pathlib import Path

import click

from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard

FOLDER = click.Path(path_type=Path)
out_option = click.option("--out", type=FOLDER, required=True, help="Folder for the state and the weights.")
minutes_option = click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), required=True, help="Training time over all runs."
)
threads_option = click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
resume_option = click.option("--resume", is_flag=True, help="Go on from the state in --out.")


@click.group(epilog=EXIT_CODES_HELP, no_args_is_help=False)
def command() -> None:
    """Train the parts of LiRA; every stage can be stopped at any time and resumed."""


@command.command("autoencoder")
@click.option("--emoji", type=FOLDER, required=True, help="The Fluent Emoji package, .tgz or unpacked.")
@click.option("--latent", default="demo", show_default=True, help="Latent kind.")
@out_option
@minutes_option
@threads_option
@resume_option
def autoencoder_command(emoji: Path, latent: str, out: Path, minutes: float, threads: int, resume: bool) -> None:
    """Encoder and tiny decoder, together, on rendered scenes."""
    import torch

    from lira.training import autoencoder

    torch.set_num_threads(threads)
    autoencoder.run(emoji, out, latent, minutes, resume)


@command.command("text")
@out_option
@minutes_option
@threads_option
@resume_option
def text_command(out: Path, minutes: float, threads: int, resume: bool) -> None:
    """The small CLIP text encoder, on captions alone."""
    import torch

    from lira.training import text
    from lira.training.loop import LoopSettings, begin
    from lira_runtime.tokenizer import ClipTokenizer

    torch.set_num_threads(threads)
    tokenizer, recipe = ClipTokenizer.vendored(), text.Recipe()
    state = text.new_state(recipe, tokenizer)
    begin(state, out, resume)
    text.train(state, tokenizer, recipe, LoopSettings(60 * minutes), out)


@command.command("denoiser")
@click.option("--config", default="nano", show_default=True, help="Preset.")
@click.option("--data", type=FOLDER, required=True, help="Folder that `python -m lira.data.pack` wrote.")
@click.option("--latent", default="demo", show_default=True, help="Latent kind of the data.")
@click.option("--text-preset", default="demo", show_default=True, help="Text encoder preset.")
@click.option("--text-encoder", type=FOLDER, required=True, help="Weights of the frozen text encoder.")
@click.option("--batch", type=click.IntRange(min=1), default=128, show_default=True)
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=1e-3, help="Peak learning rate.  [default: 1e-3]"
)
@click.option("--compile", "compiled", is_flag=True, help="torch.compile; on two CPU cores it was slower than without.")
@out_option
@minutes_option
@threads_option
@resume_option
def denoiser_command(
    config: str,
    data: Path,
    latent: str,
    text_preset: str,
    text_encoder: Path,
    batch: int,
    rate: float,
    compiled: bool,
    out: Path,
    minutes: float,
    threads: int,
    resume: bool,
) -> None:
    """The velocity network, by flow matching on packed latents."""
    import torch

    from lira.data.pack import load_packed
    from lira.latents import latent_kind
    from lira.text import load_text_encoder
    from lira.training import denoiser
    from lira.training.loop import LoopSettings, begin
    from lira_runtime.tokenizer import ClipTokenizer

    torch.set_num_threads(threads)
    kind, recipe = latent_kind(latent), denoiser.Recipe(batch=batch, peak_rate=rate)
    latents, captions = load_packed(data)
    if latents.shape[1] != kind.channels:
        raise BadInput(f"{data} holds latents of {latents.shape[1]} channels, {latent} has {kind.channels}.")
    encoder = load_text_encoder(text_preset, text_encoder)
    state = denoiser.new_state(config, kind.channels, encoder.width, kind.patch_size, recipe)
    begin(state, out, resume)
    scenes = denoiser.pack_scenes(latents, captions, encoder, ClipTokenizer.vendored())
    batches = scenes.batches(recipe.batch, recipe.caption_dropout, seed=state.step)
    denoiser.train(state, batches, recipe, LoopSettings(60 * minutes), out, compiled)


main = cli_guard(command)

if __name__ == "__main__":
    main()

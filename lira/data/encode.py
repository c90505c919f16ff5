"""`lira-encode`: pictures with captions -> a folder of encoded data, which `lira-train` reads."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lira_runtime import events
from lira_runtime.commands import version_option
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.say import say

if TYPE_CHECKING:
    from lira.data.encoding import Encoders
    from lira.data.sources import ImageSource

PATH = click.Path(path_type=Path)
OUT = click.Path(path_type=Path, file_okay=False)
SHARE = click.FloatRange(0, 1)


class Encoded(events.Result, frozen=True, kw_only=True, tag="result"):
    """What the folder holds: samples in shards; pictures that were skipped, and captions that were cut."""

    command: Literal["lira-encode"] = "lira-encode"
    out: str
    samples: int
    shards: int
    skipped: int
    cut: int


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which pictures to encode: rendered scenes, or the images of shards."""

    images: tuple[str, ...]
    emoji: Path | None
    count: int
    seed: int
    centred: float
    placed: float
    size: int
    cache: Path | None


@click.command(epilog=EXIT_CODES_HELP, no_args_is_help=False)
@click.option("--scenes", is_flag=True, help="Encode rendered scenes of the training split; needs --emoji.")
@click.option("--images", multiple=True, help="Shards of images: paths, globs, ranges {000..010} or fsspec URLs.")
@click.option("--emoji", type=PATH, help="The Fluent Emoji package, .tgz or unpacked.")
@click.option("--count", type=click.IntRange(min=1), default=50_000, show_default=True, help="Scenes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the scenes.")
@click.option("--centred", type=SHARE, default=0.3, show_default=True, help="Share of one large thing in the centre.")
@click.option("--placed", type=SHARE, default=0.3, show_default=True, help="Share of one thing of any size and place.")
@click.option("--size", type=click.IntRange(min=32), default=256, show_default=True, help="Side of the images, px.")
@click.option("--cache", type=PATH, help="Folder for copies of remote shards.")
@click.option("--latent", default="demo", show_default=True, help="Latent kind.")
@click.option("--encoder", required=True, help="encoder.safetensors; or a diffusers directory or cached repository.")
@click.option("--text-preset", default="demo", show_default=True, help="Text encoder preset.")
@click.option("--text-encoder", required=True, help="Its weights: a file, a directory or a cached repository.")
@click.option("--shard-size", type=click.IntRange(min=1), default=250, show_default=True, help="Pictures a shard.")
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where PyTorch computes, such as cuda.")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True, help="Write shards together.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--out", type=OUT, required=True, help="Folder to write to, or to go on with.")
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
@version_option("lira-encode")
def command(
    scenes: bool,
    latent: str,
    encoder: str,
    text_preset: str,
    text_encoder: str,
    shard_size: int,
    batch: int,
    device: str,
    processes: int,
    threads: int,
    out: Path,
    as_json: bool,
    **wanted: object,
) -> None:
    """Encode pictures and captions once, for training; started again, it writes the shards that are missing."""
    import torch

    from lira.data.encoding import encode_folder
    from lira.text import TOKENS
    from lira_runtime.progress import Progress

    pictures = Wanted(**wanted)  # type: ignore[arg-type]
    if scenes == bool(pictures.images):
        raise BadInput("Give either --scenes or --images.")
    torch.set_num_threads(threads)
    encoders = _load_encoders(latent, encoder, text_preset, text_encoder, device)
    source = _scene_source(pictures) if scenes else _image_source(pictures, as_json)
    with Progress(len(source), "encode", json=as_json) as progress:
        done = encode_folder(source, encoders, out, shard_size, batch, progress, processes)
    if as_json:
        counts = {name: getattr(done, name) for name in ("samples", "shards", "skipped", "cut")}
        events.emit(Encoded(out=str(out), **counts))
    else:
        cut = f"{done.cut} captions cut to {TOKENS} tokens"
        say(f"{out}: {done.samples} samples in {done.shards} shards, {done.skipped} skipped, {cut}")


def _load_encoders(latent: str, encoder: str, text_preset: str, text_encoder: str, device: str) -> "Encoders":
    import torch

    from lira.data.encoding import Encoders
    from lira.encoders import load_frozen_encoder
    from lira.latents import latent_kind
    from lira.text import load_text_encoder
    from lira_runtime.tokenizer import ClipTokenizer

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(f"PyTorch cannot compute on '{device}': {str(error).splitlines()[0]}") from error
    kind = latent_kind(latent)
    image = load_frozen_encoder(kind, encoder).to(device)
    text = load_text_encoder(text_preset, text_encoder).to(device)
    return Encoders(kind, image, text, ClipTokenizer.vendored(), device)


def _scene_source(wanted: Wanted) -> "ImageSource":
    from lira.data.emoji import EmojiSet
    from lira.data.scenes import CANVAS, Mix
    from lira.data.sources import SceneSource

    if wanted.emoji is None:
        raise BadInput("--scenes needs --emoji.")
    if wanted.size != CANVAS:
        raise BadInput(f"Scenes are {CANVAS} px wide; --size is for images.")
    if wanted.centred + wanted.placed > 1:
        raise BadInput("--centred and --placed are shares of 1; what they leave are pairs.")
    return SceneSource(EmojiSet(wanted.emoji), wanted.count, wanted.seed, Mix(wanted.centred, wanted.placed))


def _image_source(wanted: Wanted, as_json: bool) -> "ImageSource":
    from lira.data.shards import ShardSet
    from lira.data.sources import ShardImages

    return ShardImages(ShardSet(wanted.images, wanted.cache, as_json), wanted.size)


main = cli_guard(command)

if __name__ == "__main__":
    main()

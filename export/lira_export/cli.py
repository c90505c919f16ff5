"""`lira-export`: one command from a model to a bundle."""

import json
import sys
from pathlib import Path

import click

from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.files import check_replaceable_directory
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import Manifest

TARGETS = ("onnx",)
SEED_NOTICE = """\
************************************************************************
*  NO WEIGHTS: this model is built at random from seed {seed:<20}*
*  Its pictures are noise. Give --checkpoint DIR to export a trained   *
*  model; sizes, speed and memory are those of the real one.           *
************************************************************************"""


@click.command(epilog=EXIT_CODES_HELP)
@click.option("--target", required=True, help=f"Format to write: {', '.join(TARGETS)}.")
@click.option("--config", required=True, help="Preset: nano, tiny, small, base or large.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Folder of trained weights (safetensors), or demo-turbo, the committed few-step student.",
)
@click.option("--latent", help="Latent kind: f32c32 (default), f8c16, f8c4 or demo.")
@click.option(
    "--resolution", type=click.IntRange(min=1), help="Side of the picture in px.  [default: 1024; 256 for the demo]"
)
@click.option(
    "--text-encoder",
    help="Text encoder: vit-l-14 (default), vit-b-32 or demo; public weights are used where the hub cache holds them.",
)
@click.option(
    "--with-encoder", is_flag=True, help="Export the weights' encoder.safetensors too, to start from pictures."
)
@click.option("--encoder", metavar="DIR", help="The same with a frozen encoder in diffusers' layout; needs no flag.")
@click.option("--component", "components", multiple=True, help="Export this component alone; repeatable.")
@click.option("--recipe", default="int8", show_default=True, help="Quantization recipe: int8, int8-dynamic or fp32.")
@click.option("--out", type=click.Path(path_type=Path), help="Bundle folder.  [default: build/CONFIG-TARGET]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Seed of random weights.")
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be written, write nothing.")
@click.option(
    "--json", "as_json", is_flag=True, help="Result as one JSON line on stdout, progress as JSON lines on stderr."
)
def command(
    target: str,
    config: str,
    checkpoint: Path | None,
    latent: str | None,
    resolution: int | None,
    text_encoder: str | None,
    with_encoder: bool,
    encoder: str | None,
    components: tuple[str, ...],
    recipe: str,
    out: Path | None,
    seed: int,
    force: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Export a LiRA pipeline as a bundle of quantized graphs that a phone can run."""
    if target not in TARGETS:
        raise BadInput(f"Unknown target '{target}'; choose one of: {', '.join(TARGETS)}.")
    unknown = [name for name in components if name not in COMPONENTS]
    if unknown:
        raise BadInput(f"Unknown component '{unknown[0]}'; choose among: {', '.join(COMPONENTS)}.")
    say = _json_say if as_json else _plain_say
    # torch takes seconds to import: a typing error must not wait for it.
    from lira.sources import Request, load_models
    from lira_export.bundle import Order, write_bundle
    from lira_export.components import build_components
    from lira_export.recipes import get_recipe

    out = out or Path("build") / f"{config}-{target}"
    chosen = tuple(name for name in COMPONENTS if name in components) or COMPONENTS
    order = Order(config, get_recipe(recipe), out, chosen, overwrite=force)
    check_replaceable_directory(out.absolute(), force)
    models = load_models(Request(config, latent, resolution, text_encoder, checkpoint, seed, with_encoder, encoder))
    if models.source.weights == "seed":
        click.echo(SEED_NOTICE.format(seed=seed), err=True)
    if dry_run:
        parameters = {
            component.name: sum(parameter.numel() for parameter in component.eager.parameters())
            for component in build_components(models, models.resolution, chosen)
        }
        plan = {"event": "plan", "bundle": str(out), "recipe": recipe, "parameters": parameters}
        lines = [f"{name}: {count:,} parameters, {recipe}, would go to {out}" for name, count in parameters.items()]
        click.echo(json.dumps(plan) if as_json else "\n".join(lines))
        return
    _finish(write_bundle(order, models, say), out, as_json)


def _plain_say(line: str) -> None:
    click.echo(line, err=True)


def _json_say(line: str) -> None:
    click.echo(json.dumps({"event": "progress", "text": line}), err=True)


def _finish(written: Manifest, out: Path, as_json: bool) -> None:
    total = sum(entry.bytes for entry in written.files())
    if as_json:
        click.echo(json.dumps({"event": "result", "bundle": str(out), "bytes": total}))
    else:
        click.echo(f"{out}: {total / 1e6:.1f} MB")


main = cli_guard(command)

if __name__ == "__main__":
    sys.exit(main())

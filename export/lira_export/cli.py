"""`lira-export`: one command from a model to a bundle."""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lira_export.events import Voice
from lira_export.memory.calibration import check_predictable
from lira_export.recipes import DEFAULT_RECIPE, RECIPES, get_recipe
from lira_export.replaced import check_replaceable
from lira_export.targets import TARGETS, USUAL_IOS, check_limits, make_target
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_names
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.events import JSON_HELP
from lira_runtime.files import check_writable_file
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import WEIGHTS_MODES, TargetName, WeightsMode
from lira_runtime.memory.budget import parse_bytes

if TYPE_CHECKING:
    from lira.sources import Request
    from lira_export.making import Order

ALL = "all"
MOST_PX = 1 << 16
"""Of a number that is worth reading; what a latent can be is checked later."""


def _presets() -> Iterable[str]:
    from lira.presets import PRESETS

    return PRESETS


@click.command(epilog=EXIT_CODES_HELP)
@click.option(
    "--target",
    required=True,
    shell_complete=complete_names(lambda: (*TARGETS, ALL)),
    help=f"Format to write: {', '.join(TARGETS)} or {ALL}.",
)
@click.option(
    "--config", required=True, shell_complete=complete_names(_presets), help="Preset: nano, tiny, small, base or large."
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Folder of trained weights (safetensors), or demo-turbo, the committed few-step student.",
)
@click.option("--latent", help="Latent kind: f32c32 (default), f8c16, f8c4 or demo.")
@click.option(
    "--resolution",
    "resolutions",
    help="Side of the picture in px, or several, by commas, the default first.  [default: 1024; 256 for the demo]",
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
@click.option(
    "--recipe",
    shell_complete=complete_names(lambda: RECIPES),
    help=f"Quantization recipe: {', '.join(RECIPES)}; not every target has every one.  "
    f"[default: {DEFAULT_RECIPE}; with --budget the one of least loss that fits]",
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS_MODES),
    help="How the bundle's weights are loaded (docs/memory.md).  [default: packed; with --budget what fits]",
)
@click.option(
    "--budget",
    metavar="SIZE",
    help="Most resident memory of the pipeline, 400MB say: chooses recipe, weights and one of --resolution, and fails "
    "above it. With --dry-run: says what it would choose.",
)
@click.option(
    "--ios", type=int, default=USUAL_IOS, show_default=True, help="Oldest iOS of a Core ML package: 16, 17 or 18."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Bundle folder; with --target all, the folder that holds the three.  [default: build/CONFIG-TARGET]",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, help="Seed of random weights.")
@click.option(
    "--overwrite", is_flag=True, help="Replace a bundle that is already there; what would be the same is taken from it."
)
@click.option("--force", is_flag=True, help="The same, but make everything anew.")
@click.option(
    "--allow-parity-failure",
    is_flag=True,
    help="Write the bundle where a gate of parity fails, too; its manifest says so.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be written, write nothing.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@version_option("lira-export")
def command(
    target: str,
    config: str,
    checkpoint: Path | None,
    latent: str | None,
    resolutions: str | None,
    text_encoder: str | None,
    with_encoder: bool,
    encoder: str | None,
    components: tuple[str, ...],
    recipe: str | None,
    weights: WeightsMode | None,
    budget: str | None,
    ios: int,
    out: Path | None,
    seed: int,
    overwrite: bool,
    force: bool,
    allow_parity_failure: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Export a LiRA pipeline as a bundle of quantized graphs that a phone can run."""
    targets = _targets(target)
    unknown = [name for name in components if name not in COMPONENTS]
    if unknown:
        raise BadInput(f"Unknown component '{unknown[0]}'; choose among: {', '.join(COMPONENTS)}.")
    sides, limit = _sides(resolutions), None if budget is None else parse_bytes(budget)
    for name in targets:
        check_limits(name, get_recipe(recipe or DEFAULT_RECIPE, name), ios, sides or ())
        if limit is not None or weights is not None:
            check_predictable(name, weights)
    if limit is not None and components:
        raise BadInput("--budget is for a whole pipeline; leave out --component.")
    outs = {name: _out(out, config, name, target == ALL) for name in targets}
    for place in outs.values():
        check_replaceable(place.absolute(), overwrite or force)
        if _plot_path(place).exists():
            check_writable_file(_plot_path(place))
    # torch takes seconds to import: a typing error must not wait for it. A target knows which extra it lacks.
    made = [make_target(name, ios) for name in targets]
    from lira.sources import Request, names_of
    from lira_export.lock import locked
    from lira_export.making import Order
    from lira_export.planning import Asked, Plan

    request = Request(
        config, latent, None if sides is None else sides[0], text_encoder, checkpoint, seed, with_encoder, encoder
    )
    names_of(request)  # a wrong one leaves no trace
    chosen = tuple(name for name in COMPONENTS if name in components) or COMPONENTS
    voice = Voice(as_json)
    with ExitStack() as locks:
        for place in () if dry_run else outs.values():
            locks.enter_context(locked(place, _plot_path(place)))
        plan = Plan(request, Asked(sides, recipe, weights, limit, chosen))
        if plan.models.source.weights == "seed":
            voice.say_random(seed)
        if dry_run:
            for name in targets:
                plan.show(name, outs[name], voice.show)
            voice.end()
            return
        choices = {name: plan.choice(name, voice.show) for name in targets}
        orders = [
            Order(
                config,
                each,
                choices[each.name].recipe,
                outs[each.name],
                chosen,
                overwrite or force,
                allow_parity_failure,
                choices[each.name].weights,
                choices[each.name].budget,
            )
            for each in made
        ]
        _write([(order, choices[order.target.name].resolutions) for order in orders], request, force, voice)


def _write(orders: Sequence[tuple["Order", tuple[int, ...]]], request: "Request", anew: bool, voice: Voice) -> None:
    """Write bundles at these resolutions in px, and report each when it is there."""
    from lira.sources import load_models
    from lira_export.bundle import write_bundle
    from lira_export.drift_plot import write_drift_plot
    from lira_export.kept import Kept
    from lira_export.references import References

    models = load_models(request)
    references: dict[tuple[int, ...], References] = {}
    for order, resolutions in orders:
        own = replace(models, resolution=resolutions[0])
        known = references.setdefault(resolutions, References(own, resolutions))
        written = write_bundle(order, known, voice.say, Kept(order.out, anew), voice.tell)
        plot = None
        if written.trajectory is not None:
            plot = _plot_path(order.out)
            write_drift_plot(plot, f"{order.config}, {order.target.name}, {order.recipe.name}", written.trajectory)
        voice.wrote(written, order.out, plot)
    voice.end()


def _targets(asked: str) -> tuple[TargetName, ...]:
    found = tuple(name for name in TARGETS if asked in (name, ALL))
    if not found:
        raise BadInput(f"Unknown target '{asked}'; choose one of: {', '.join(TARGETS)}, {ALL}.")
    return found


def _sides(asked: str | None) -> tuple[int, ...] | None:
    """Resolutions in px from "256,512"; None where nothing was asked. Raises BadInput."""
    if asked is None:
        return None
    parts = [part.strip() for part in asked.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= MOST_PX for part in parts):
        raise BadInput(f"--resolution takes sides in px such as 512 or 256,512,1024, not '{asked}'.")
    sides = tuple(map(int, parts))
    if len(set(sides)) != len(sides):
        raise BadInput(f"--resolution names a side twice: '{asked}'.")
    return sides


def _out(out: Path | None, config: str, target: TargetName, several: bool) -> Path:
    if out is None or several:
        return (out or Path("build")) / f"{config}-{target}"
    return out


def _plot_path(out: Path) -> Path:
    """Of a bundle's drift: beside it."""
    return Path(f"{os.path.abspath(out)}-drift.png")


main = cli_guard(command)

if __name__ == "__main__":
    sys.exit(main())

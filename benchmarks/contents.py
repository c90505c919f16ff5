"""Is it really quantized? What each format's files hold by each recipe, counted in the files and once loaded.

`python benchmarks/contents.py --config small`: a row for each component, target and recipe: MB on disk, share of the
weights that are stored in 8 bits or fewer, products by the dtype of their weights, MB once loaded, PSNR in dB against
eager. The whole takes most of an hour for small on two cores; `--target` and `--recipe` choose.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from case import BUILD
from lira.sources import Request, load_models
from lira_export.bundle import Order, write_bundle
from lira_export.gates import BITS
from lira_export.recipes import HOW, get_recipe
from lira_export.references import References
from lira_export.targets import TARGETS, check_limits, make_target
from lira_runtime.errors import LiRAError, cli_guard
from lira_runtime.events import JSON_HELP
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import Component, TargetName
from report import Row, show_rows

NEWEST_IOS = 18
"""Which has every recipe of Core ML."""


def measure(references: References, config: str, target: TargetName, recipe: str, folder: Path) -> list[Row]:
    """Export without a whole drawing, component by component, and read the manifests."""
    check_limits(target, get_recipe(recipe, target), NEWEST_IOS, ())
    rows: list[Row] = []
    for part in COMPONENTS:
        out = folder / f"{target}-{recipe}-{part}"
        order = Order(config, make_target(target, NEWEST_IOS), get_recipe(recipe, target), out, (part,), True, True)
        try:
            rows.append(_row(target, write_bundle(order, references, _say).components[0]))
        except LiRAError as error:
            rows.append({**_nothing(target, recipe, part), "products by weight": str(error)})
        finally:
            shutil.rmtree(out, ignore_errors=True)
        _say(json.dumps(rows[-1]))
    return rows


def _row(target: str, component: Component) -> Row:
    contents = component.contents
    sizes = contents.weight_bytes
    narrow = sum(size for dtype, size in sizes.items() if BITS.get(dtype, 8) <= 8)
    return {
        **_nothing(target, component.recipe, component.name),
        "MB": sum(file.bytes for file in component.files) / 1e6,
        "MB in <= 8 bits": narrow / 1e6,
        "products by weight": ", ".join(f"{dtype} {count}" for dtype, count in contents.products.items()),
        "loaded MB": None if contents.loaded_bytes is None else contents.loaded_bytes / 1e6,
        "dB": component.parity.psnr_db,
    }


def _nothing(target: str, recipe: str, part: str) -> dict[str, object]:
    blank = dict.fromkeys(("MB", "MB in <= 8 bits", "products by weight", "loaded MB", "dB"))
    return {"target": target, "recipe": recipe, "component": part, **blank}


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@click.option("--config", default="small", show_default=True)
@click.option("--target", "targets", type=click.Choice(TARGETS), multiple=True, help="Default: all three.")
@click.option("--recipe", "recipes", multiple=True, help="Default: all that a target has.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def command(config: str, targets: Sequence[TargetName], recipes: Sequence[str], as_json: bool) -> None:
    """What the files hold, by format and recipe."""
    models = load_models(Request(config))
    references = References(models, (models.resolution,))
    folder = BUILD / f"contents-{config}"
    rows = [
        row
        for target in targets or TARGETS
        for recipe in recipes or HOW[target]
        for row in measure(references, config, target, recipe, folder)
    ]
    show_rows(f"contents: {config}, {models.resolution} px", rows, {}, as_json)


main = cli_guard(command)

if __name__ == "__main__":
    main()

"""What a script measures: the eager models of a config and their exported bundle, made where it is missing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import onnxruntime as ort
import torch

import lira
import lira_export
from fresh import random_feed
from lira.sources import Models, Request, load_models
from lira_export.bundle import Order, write_bundle
from lira_export.onnx.target import OnnxTarget
from lira_export.recipes import get_recipe
from lira_export.references import References
from lira_runtime.backends.session import SessionSettings, open_session
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.events import JSON_HELP
from lira_runtime.files import MANIFEST_NAME
from lira_runtime.interface import COMPONENTS

BUILD = Path(__file__).parent.parent / "build"


@dataclass(frozen=True)
class Case:
    """Eager models, the ONNX bundle made of them, measured at its first resolution, and the threads of both."""

    models: Models
    bundle: Bundle
    threads: int

    @property
    def title(self) -> str:
        """Config, resolution, latent kind and threads, for a table's head."""
        manifest = self.bundle.manifest
        return f"{manifest.preset}, {self.resolution} px, latent {manifest.latent.name}, {self.threads} threads"

    @property
    def resolution(self) -> int:
        """Side of the picture in px."""
        return self.bundle.resolution(None)

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(1, C, H, W) of the latent."""
        return self.bundle.manifest.latent_shape(self.resolution)

    @property
    def tokens(self) -> int:
        """Image tokens that the denoiser works on."""
        latent = self.bundle.manifest.latent
        return (self.resolution // (latent.scale * latent.patch_size)) ** 2

    def graph(self, component: str) -> Path:
        """The file of one component's graph."""
        return self.bundle.path / self.bundle.graph(component).path

    def runner(self, component: str) -> Callable[[], object]:
        """A call that runs one component of the bundle on random inputs of the shapes that its graph asks for."""
        return runner(self.graph(component), self.threads)


def runner(graph: Path, threads: int) -> Callable[[], object]:
    """A call that runs a graph on random inputs, in a session with the runtime's own settings."""
    session: ort.InferenceSession = open_session(graph, SessionSettings(threads=threads))
    feed = random_feed(session.get_inputs())
    return lambda: session.run(None, feed)


def open_case(
    config: str,
    path: Path | None,
    threads: int,
    resolution: int | None = None,
    components: tuple[str, ...] = COMPONENTS,
) -> Case:
    """Load the models of a config and open their int8 bundle; it is exported to `path` where there is none.

    Raises:
        BadInput: the bundle at `path` is of another target, config, latent kind or first resolution.
    """
    torch.set_num_threads(threads)
    models = load_models(Request(config, resolution=resolution))
    path = path or BUILD / f"{config}-onnx"
    if not path.exists():
        order = Order(config, OnnxTarget(), get_recipe("int8", "onnx"), path, components)
        write_bundle(order, References(models, (models.resolution,)), lambda line: click.echo(line, err=True))
    bundle = Bundle.open(path)
    if older_than_code(path):
        click.echo(f"note: {path} is older than the code that exports it; delete it to measure that code.", err=True)
    manifest = bundle.manifest
    made_of = (manifest.target, manifest.preset, manifest.latent.name, bundle.resolution(None))
    if made_of != ("onnx", config, models.kind.name, models.resolution):
        raise BadInput(f"{path} is {made_of}, not what is asked for; give another --bundle.")
    return Case(models, bundle, threads)


def older_than_code(path: Path) -> bool:
    """Whether a source file of the model or the exporter changed after the bundle was written."""
    packages = (Path(module.__file__).parent for module in (lira, lira_export))
    newest = max(source.stat().st_mtime for package in packages for source in package.rglob("*.py"))
    return (path / MANIFEST_NAME).stat().st_mtime < newest


def case_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every script has: --config, --bundle, --threads and --json."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help=JSON_HELP),
        click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True),
        click.option("--bundle", "path", type=click.Path(path_type=Path), help="Exported first where it is missing."),
        click.option("--config", default="small", show_default=True),
    ):
        command = option(command)
    return command

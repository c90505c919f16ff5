"""Exports that tests share, each made once and when it is first asked for."""

import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from mite import MITE, MITE_SIDES

from lira.presets import PRESETS
from lira.sources import Models, Request, load_models
from lira_export import cli
from lira_export.bundle import Order, write_bundle
from lira_export.components import build_components
from lira_export.onnx.target import OnnxTarget
from lira_export.parity import reference_samples
from lira_export.recipes import DEFAULT_RECIPE, Recipe, get_recipe
from lira_export.references import References
from lira_export.target import Job, Written
from lira_export.targets import TARGETS, make_target
from lira_runtime import manifest
from lira_runtime.manifest import TargetName

Ran = tuple[int, str, str]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
SIDE = 64
DECODER = ("--config", "nano", "--component", "decoder", "--resolution", str(SIDE))
IOS = 18
"""The first with packages of several functions, which several sizes need."""


@pytest.fixture(scope="session")
def small_models() -> Models:
    """Nano from a seed at 64 px."""
    return load_models(Request("nano", latent="f8c4", resolution=SIDE, text_encoder="demo", seed=5))


@pytest.fixture(scope="session")
def bundle_folder(small_models: Models, made_once: MadeOnce) -> Path:
    def export(folder: Path) -> None:
        order = Order("nano", OnnxTarget(), get_recipe("int8", "onnx"), folder / "bundle")
        write_bundle(order, References(small_models, (SIDE,)), lambda line: None)

    return made_once("small-nano", export) / "bundle"


@dataclass(frozen=True)
class Mite:
    """A whole int8 bundle of the mite at `MITE_SIDES`, and TFLite's files as they were before they were quantized."""

    models: Models
    bundle: Path
    float32: Path


@pytest.fixture(scope="session")
def mite_models() -> Models:
    """The mite from a seed at the first of its sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, MITE.name, MITE)
        return load_models(Request(MITE.name, latent="f8c4", resolution=MITE_SIDES[0], text_encoder="demo", seed=3))


@pytest.fixture(scope="session")
def mites(mite_models: Models, made_once: MadeOnce) -> Callable[[TargetName], Mite]:
    """Target -> what was exported for it."""
    references = References(mite_models, MITE_SIDES)

    def export(target: TargetName, folder: Path) -> None:
        float32 = folder / "float32"
        float32.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            if target == "tflite":
                keep_float32(float32, patch)
            order = Order(MITE.name, make_target(target, IOS), get_recipe("int8", target), folder / target)
            write_bundle(order, references, lambda line: None)

    def exported(target: TargetName) -> Mite:
        folder = made_once(f"mite-{target}", partial(export, target))
        return Mite(mite_models, folder / target, folder / "float32")

    return exported


def keep_float32(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Copy what TFLite's quantizer is given into `folder`."""
    from lira_export.tflite import target

    honest = target.quantize

    def quantize(source: Path, goal: Path, component: str, recipe: Recipe) -> None:
        shutil.copy(source, folder / goal.name)
        honest(source, goal, component, recipe)

    patch.setattr(target, "quantize", quantize)


@pytest.fixture(scope="session")
def formats(made_once: MadeOnce) -> dict[TargetName, Path]:
    """Target -> bundle of the demo by the default recipe."""

    def export(folder: Path) -> None:
        models = load_models(Request("nano"))
        references = References(models, (models.resolution,))
        for target in TARGETS:
            order = Order("nano", make_target(target), get_recipe(DEFAULT_RECIPE, target), folder / target)
            write_bundle(order, references, lambda line: None)

    folder = made_once("formats", export)
    return {target: folder / target for target in TARGETS}


@pytest.fixture(scope="session")
def decoders(made_once: MadeOnce) -> Callable[[str], dict[TargetName, Path]]:
    """Recipe -> target -> bundle of the demo's decoder at 64 px, int8's with its encoder; by one `lira-export`."""

    def export(recipe: str, out: Path) -> None:
        asked = ["--target", "all", "--ios", str(IOS), "--recipe", recipe, "--out", str(out)]
        asked += ["--with-encoder"] if recipe == "int8" else []
        said = StringIO()  # not for the test that is the first to ask
        with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
            cli.main([*DECODER, *asked])
        assert not ended.value.code, said.getvalue()

    def exported(recipe: str) -> dict[TargetName, Path]:
        out = made_once(f"decoders-{recipe}", partial(export, recipe))
        return {target: out / f"nano-{target}" for target in TARGETS}

    return exported


@pytest.fixture
def write_copies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have exports for the target of a bundle take every component's files from it, and convert nothing.

    spoil: given the job, is called once its files are there.
    """

    def copy_from(bundle: Path, spoil: Callable[[Job], None] = lambda job: None) -> None:
        whole = manifest.load(bundle)

        def write(target: object, job: Job) -> Written:
            (entry,) = (part for part in whole.components if part.name == job.name)
            files = tuple(job.folder / file.path for file in entry.files)
            for file in files:
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(bundle / file.relative_to(job.folder), file)
            spoil(job)
            return Written(entry.graphs, files)

        monkeypatch.setattr(type(make_target(whole.target)), "write", write)

    return copy_from


@pytest.fixture
def decoder_job(small_models: Models, tmp_path: Path) -> Callable[[Recipe], Job]:
    """A recipe -> the job of writing nano's decoder by it into an empty folder."""
    components = {component.name: component for component in build_components(small_models, SIDE)}
    samples = {SIDE: reference_samples(components)["decoder"]}
    folder = tmp_path / "job"
    folder.mkdir()

    def job(recipe: Recipe) -> Job:
        variants = {SIDE: components["decoder"]}
        return Job("decoder", variants, samples, recipe, small_models, folder, lambda line: None)

    return job


@pytest.fixture
def run_export(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`lira-export` with these arguments -> exit code, stdout, stderr."""

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["lira-export", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run

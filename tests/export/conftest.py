"""One small export shared by the tests of the exporter: nano from a seed at 64 px, a few seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lira.sources import Models, Request, load_models
from lira_export import cli
from lira_export.bundle import Order, write_bundle
from lira_export.components import build_components
from lira_export.onnx.target import OnnxTarget
from lira_export.parity import reference_samples
from lira_export.recipes import Recipe, get_recipe
from lira_export.references import References
from lira_export.target import Job

Ran = tuple[int, str, str]
SIDE = 64


@pytest.fixture(scope="session")
def small_models() -> Models:
    return load_models(Request("nano", latent="f8c4", resolution=SIDE, text_encoder="demo", seed=5))


@pytest.fixture(scope="session")
def bundle_folder(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "bundle"
    order = Order("nano", OnnxTarget(), get_recipe("int8", "onnx"), out)
    write_bundle(order, References(small_models, (SIDE,)), lambda line: None)
    return out


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

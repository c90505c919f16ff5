"""One small export shared by the tests of the exporter: nano from a seed at 64 px, a few seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lira.sources import Models, Request, load_models
from lira_export import cli
from lira_export.bundle import Order, write_bundle
from lira_export.recipes import get_recipe

Ran = tuple[int, str, str]


@pytest.fixture(scope="session")
def small_models() -> Models:
    return load_models(Request("nano", latent="f8c4", resolution=64, text_encoder="demo", seed=5))


@pytest.fixture(scope="session")
def bundle_folder(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "bundle"
    write_bundle(Order("nano", get_recipe("int8"), out), small_models, lambda line: None)
    return out


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

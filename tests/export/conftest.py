"""One small export shared by the tests of the exporter: nano from a seed at 64 px, a few seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lira_export.bundle import Order, write_bundle
from lira_export.recipes import get_recipe
from lira_export.sources import Models, Request, load_models


@pytest.fixture(scope="session")
def small_models() -> Models:
    return load_models(Request("nano", latent="f8c4", resolution=64, text_encoder="demo", seed=5))


@pytest.fixture(scope="session")
def bundle_folder(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "bundle"
    write_bundle(Order("nano", get_recipe("int8"), out), small_models, lambda line: None)
    return out


@pytest.fixture
def said() -> tuple[list[str], Callable[[str], None]]:
    lines: list[str] = []
    return lines, lines.append

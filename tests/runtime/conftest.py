"""A whole bundle with toy graphs of a few KB, written once a session."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _toy_bundle_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from toy_bundle import write_toy_bundle  # here, because the bare runtime has no onnx to write graphs with

    goal = tmp_path_factory.mktemp("toy") / "bundle"
    write_toy_bundle(goal)
    return goal


@pytest.fixture
def toy_bundle(_toy_bundle_once: Path, tmp_path: Path) -> Path:
    """A fresh copy that a test may damage."""
    return Path(shutil.copytree(_toy_bundle_once, tmp_path / "bundle"))

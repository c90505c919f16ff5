"""The runtime's toy bundle, for tests that only need one to run."""

from pathlib import Path

import pytest
from toy_bundle import write_toy_bundle


@pytest.fixture
def toy_bundle(tmp_path: Path) -> Path:
    write_toy_bundle(tmp_path / "toy")
    return tmp_path / "toy"

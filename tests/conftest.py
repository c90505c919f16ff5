"""What holds for the whole suite."""

import gc
import os
import tempfile

import pytest


def pytest_collection_finish() -> None:
    """Spare every later search for garbage the libraries' objects, 700,000 of them, which live until the end.

    A drawing searches after each of its stages, which took half a second each time.
    """
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing that a test opens is remembered in the user's cache, and what is there decides no test."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    os.environ["LIRA_CACHE"] = folder.name

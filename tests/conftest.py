"""What holds for the whole suite."""

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

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


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A package -> it is missing, and so are the modules that begin as the names after it until they are imported anew.

    Afterwards everything is as it was: an import sets the parent's attribute, too, which other tests look at.
    """

    def hide(package: str, *importers: str) -> None:
        class Without:
            def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
                if name == package:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        for name in [*sys.modules]:
            if name.partition(".")[0] == package or name.startswith(importers):
                parent, _, child = name.rpartition(".")
                if parent in sys.modules:
                    monkeypatch.setattr(sys.modules[parent], child, sys.modules[name], raising=False)
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [Without(), *sys.meta_path])

    return hide

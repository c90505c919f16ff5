"""What holds for the whole suite."""

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


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


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Name, what fills a folder -> the folder, filled once for all processes that run the tests."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, part = shared / name, shared / f"{name}.part"
        with FileLock(shared / f"{name}.lock"):
            if not folder.exists():
                shutil.rmtree(part, ignore_errors=True)  # of a process that failed to fill it
                part.mkdir()
                fill(part)
                part.rename(folder)
        return folder

    return make


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

"""What reads and runs a target's graphs on this machine, and what is missing where nothing does.

Core ML packages are read and run, and every format's contents are counted, by the export package, which is not the
runtime's to import: it is asked for by name, and where it or what it needs is not installed the check says so.
"""

import functools
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.onnx import check_graph
from lira_runtime.backends.protocol import Backend
from lira_runtime.errors import BadInput
from lira_runtime.manifest import Graph, TargetName

CheckGraph = Callable[[Graph, Path], Any]
"""A graph and the bundle's folder -> nothing of interest; raises DamagedBundle."""


def graph_reader(target: TargetName) -> CheckGraph:
    """What compares a graph's own tensors with its record. Raises BadInput where nothing here reads the format."""
    if target == "onnx":
        return check_graph
    if target == "tflite":
        backend_for(target)  # says what is missing
        from lira_runtime.backends.tflite import check_signature

        return lambda graph, directory: check_signature(graph, directory / graph.path)
    return export_module("lira_export.coreml.backend", "coreml").check_function


def engine(target: TargetName) -> Backend:
    """What runs a target's graphs here: Core ML's by Core ML itself on macOS, elsewhere by an interpreter of the file.

    Raises BadInput where nothing does.
    """
    if target == "coreml":
        return export_module("lira_export.coreml.backend", "coreml").CoremlBackend()
    return backend_for(target)


@functools.cache
def export_module(name: str, extra: str) -> ModuleType:
    """A module of the export package; raises BadInput, naming the extra, where something that it needs is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if missing.startswith("lira") and missing != "lira_export":  # our own mistake, not a missing extra
            raise
        raise BadInput(
            f"{missing} is not installed: pip install '.[{extra}]' -c constraints.txt.", "not_installed"
        ) from error

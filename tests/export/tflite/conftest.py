"""The mite's float32 files: what its export gave to the quantizer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lira_export.components import Component, build_components
from lira_runtime import manifest
from lira_runtime.manifest import Graph, TargetName


@dataclass(frozen=True)
class Float32:
    """A component by size, and its file, with a graph for each: signatures r32 and r64, their layers named."""

    variants: Mapping[int, Component]
    graphs: tuple[Graph, ...]
    path: Path


def float32_of(name: str, mite: Any) -> Float32:
    graphs = next(part.graphs for part in manifest.load(mite.bundle).components if part.name == name)
    sides = [graph.resolution for graph in graphs]
    variants = {side: build_components(mite.models, side, (name,))[0] for side in sides}
    return Float32(variants, graphs, mite.float32 / graphs[0].path)


@pytest.fixture(scope="session")
def decoder(mites: Callable[[TargetName], Any]) -> Float32:
    """Its decoder, which is nano's."""
    return float32_of("decoder", mites("tflite"))


@pytest.fixture(scope="session")
def denoiser(mites: Callable[[TargetName], Any]) -> Float32:
    """Its one block, and everything around it."""
    return float32_of("denoiser", mites("tflite"))

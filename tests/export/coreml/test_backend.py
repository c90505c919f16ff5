"""The backend around the interpreter: the manifest's word against the package's, and the three verbs."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from lira_export.coreml.backend import CoremlBackend
from lira_runtime.errors import DamagedBundle
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import Graph

GRAPH = Graph(
    path="model.mlpackage",
    entry="main",
    inputs=(TensorSpec(name="x0", shape=(2, 3), dtype="float32"),),
    outputs=(TensorSpec(name="y0", shape=(2, 4), dtype="float32"),),
)


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 4)


@pytest.fixture
def folder(layer: nn.Linear, convert: Any, save: Any) -> Path:
    return save(convert(layer, (torch.zeros(2, 3),))).parent


def test_a_loaded_graph_runs_until_it_is_unloaded(layer: nn.Linear, folder: Path) -> None:
    backend, x = CoremlBackend(), torch.tensor([[1.0, 2, 3], [-1, 0, 4]])
    with pytest.raises(RuntimeError, match="load a graph"):
        backend.run({"x0": x.numpy()})
    backend.load(GRAPH, folder)
    with pytest.raises(RuntimeError, match="unload the graph"):
        backend.load(GRAPH, folder)
    found = backend.run({"x0": x.numpy()})
    assert list(found) == ["y0"] and found["y0"].dtype == np.float32
    np.testing.assert_allclose(found["y0"], layer(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    backend.unload()
    with pytest.raises(RuntimeError, match="load a graph"):
        backend.run({"x0": x.numpy()})


@pytest.mark.parametrize(
    ("side", "change"),
    [
        ("inputs", {"name": "x"}),
        ("inputs", {"shape": (3, 3)}),
        ("outputs", {"shape": (2, 5)}),
        ("outputs", {"dtype": "int32"}),
    ],
)
def test_tensors_that_are_not_the_manifests_are_refused(side: str, change: dict[str, Any], folder: Path) -> None:
    (tensor,) = getattr(GRAPH, side)
    graph = msgspec.structs.replace(GRAPH, **{side: (msgspec.structs.replace(tensor, **change),)})
    with pytest.raises(DamagedBundle, match=f"the {side} of the graph model.mlpackage are not those its manifest says"):
        CoremlBackend().load(graph, folder)


def test_a_missing_package_or_function_is_damage(folder: Path) -> None:
    for change in ({"path": "other.mlpackage"}, {"entry": "other"}):
        with pytest.raises(DamagedBundle, match="other"):
            CoremlBackend().load(msgspec.structs.replace(GRAPH, **change), folder)

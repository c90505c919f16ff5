"""The backend: the manifest's word against the package's, the three verbs, and what it asks of Core ML on a Mac.

Core ML itself is a stand-in here: no test of this repository ran on a Mac.
"""

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


@pytest.fixture(scope="module")
def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 4)


@pytest.fixture(scope="module")
def folder(layer: nn.Linear, convert: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layer")
    convert(layer, (torch.zeros(2, 3),)).save(str(folder / "model.mlpackage"))
    return folder


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


class CoreML:
    """In the place of coremltools' MLModel on a Mac: predicts in float64, as Core ML may give another dtype."""

    def __init__(self, path: str, function_name: str) -> None:
        assert Path(path).is_dir()
        self.function_name = function_name

    def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        assert self.function_name == "main"
        if inputs["x0"].min() < 0:
            raise RuntimeError("no negative numbers\nand more")
        return {"other": np.zeros(1), "y0": np.full((2, 4), inputs["x0"].sum(), np.float64)}


def test_on_a_mac_core_ml_runs_the_graphs_function(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("lira_export.coreml.backend.MLModel", CoreML)
    backend = CoremlBackend()
    backend.load(GRAPH, folder)
    (found,) = backend.run({"x0": np.ones((2, 3), np.float32)}).values()
    assert found.dtype == np.float32 and found.tolist() == [[6.0] * 4] * 2
    with pytest.raises(DamagedBundle, match=r"a graph failed while it ran: no negative numbers$"):
        backend.run({"x0": -np.ones((2, 3), np.float32)})


def test_on_a_mac_a_package_that_core_ml_refuses_is_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, function_name: str) -> None:
        raise RuntimeError("cannot compile")

    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("lira_export.coreml.backend.MLModel", refuse)
    with pytest.raises(DamagedBundle, match="model.mlpackage cannot be loaded: cannot compile"):
        CoremlBackend().load(GRAPH, folder)

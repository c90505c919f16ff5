"""The TFLite engine on a toy: y = tanh(x) W^T for 2 and for 3 rows, two signatures over one W, and the rows' number."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litert_torch
import msgspec
import numpy as np
import pytest
import torch

from lira_runtime.backends import tflite
from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.backends.tflite import TfliteBackend
from lira_runtime.errors import DamagedBundle, OverBudget
from lira_runtime.interface import TensorSpec
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import Graph

WIDTH = 2048
WEIGHT = np.random.default_rng(7).standard_normal((WIDTH, WIDTH), np.float32) / 32


class _Toy(torch.nn.Module):
    def __init__(self, weight: Any) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(weight))

    def forward(self, x: Any) -> dict[str, Any]:
        return {"y": torch.tanh(x) @ self.weight.T, "rows": torch.ones_like(x[:, 0]).sum()[None].to(torch.int32)}


def write_toy(folder: Path, weight: Any, *signatures: int) -> Path:
    toy, path = _Toy(weight).eval(), folder / "toy.tflite"
    converter = litert_torch
    for rows in signatures:
        converter = converter.signature(f"r{rows}", toy, sample_kwargs={"x": torch.zeros(rows, WIDTH)})
    converter.convert().export(str(path))
    return folder


def graph(rows: int) -> Graph:
    return Graph(
        path="toy.tflite",
        entry=f"r{rows}",
        inputs=(TensorSpec(name="x", shape=(rows, WIDTH), dtype="float32"),),
        outputs=(
            TensorSpec(name="y", shape=(rows, WIDTH), dtype="float32"),
            TensorSpec(name="rows", shape=(1,), dtype="int32"),
        ),
    )


def values(rows: int) -> Any:
    return np.random.default_rng(rows).standard_normal((rows, WIDTH), np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy"), WEIGHT, 2, 3)


@pytest.fixture(scope="module")
def tripled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One signature, for 2 rows, with 3 W."""
    return write_toy(tmp_path_factory.mktemp("tripled"), 3 * WEIGHT, 2)


@pytest.fixture
def backend() -> Iterator[Any]:
    backend = TfliteBackend(SessionSettings(threads=1))
    yield backend
    backend.unload()


@pytest.mark.parametrize("rows", [2, 3])
def test_every_signature_returns_its_named_outputs(folder: Path, backend: Any, rows: int) -> None:
    backend.load(graph(rows), folder)
    for scale in (1, -2):
        x = scale * values(rows)
        found = backend.run({"x": x})
        np.testing.assert_allclose(found["y"], np.tanh(x) @ WEIGHT.T, atol=1e-4)
        assert found["rows"].tolist() == [rows]
        assert found["rows"].dtype == np.int32


def test_results_belong_to_the_caller(folder: Path, backend: Any) -> None:
    backend.load(graph(2), folder)
    first = backend.run({"x": values(2)})["y"]
    kept = first.copy()
    backend.run({"x": -values(2)})
    np.testing.assert_array_equal(first, kept)


def test_models_of_one_shape_do_not_share_their_packed_weights(folder: Path, tripled: Path, backend: Any) -> None:
    other = TfliteBackend()
    backend.load(graph(2), folder)
    other.load(graph(2), tripled)
    expected = np.tanh(values(2)) @ WEIGHT.T
    for engine, factor in ((backend, 1), (other, 3), (backend, 1)):
        np.testing.assert_allclose(engine.run({"x": values(2)})["y"], factor * expected, atol=3e-4)
    other.unload()


def test_only_one_graph_is_held_at_a_time(folder: Path, backend: Any) -> None:
    backend.load(graph(2), folder)
    with pytest.raises(RuntimeError, match="unload"):
        backend.load(graph(3), folder)
    backend.unload()
    with pytest.raises(RuntimeError, match="load a graph"):
        backend.run({})
    backend.load(graph(3), folder)


def test_the_manifests_target_chooses_this_engine() -> None:
    assert isinstance(backend_for("tflite"), TfliteBackend)


@pytest.mark.parametrize("kept", [0, 4, 3000])
def test_a_file_that_is_cut_off_is_damaged(folder: Path, backend: Any, tmp_path: Path, kept: int) -> None:
    (tmp_path / "toy.tflite").write_bytes((folder / "toy.tflite").read_bytes()[:kept])
    with pytest.raises(DamagedBundle, match=r"toy\.tflite cannot be loaded"):
        backend.load(graph(2), tmp_path)


def test_a_file_that_is_missing_is_damaged(backend: Any, tmp_path: Path) -> None:
    with pytest.raises(DamagedBundle, match=r"toy\.tflite cannot be loaded"):
        backend.load(graph(2), tmp_path)


def test_a_file_without_the_signature_is_damaged(folder: Path, backend: Any) -> None:
    with pytest.raises(DamagedBundle, match="no signature 'r4'"):
        backend.load(graph(4), folder)


@pytest.mark.parametrize(
    ("side", "change"),
    [("inputs", {"shape": (2, 8)}), ("inputs", {"name": "z"}), ("outputs", {"dtype": "float16"})],
)
def test_a_graph_that_differs_from_its_entry_is_damaged(
    folder: Path, backend: Any, side: str, change: dict[str, Any]
) -> None:
    first, *rest = getattr(graph(2), side)
    wrong = msgspec.structs.replace(graph(2), **{side: (msgspec.structs.replace(first, **change), *rest)})
    with pytest.raises(DamagedBundle, match=side):
        backend.load(wrong, folder)


@pytest.mark.parametrize(
    "inputs",
    [
        {"x": np.zeros((WIDTH, 2), np.float32)},
        {"x": np.zeros((2, WIDTH), np.int32)},
        {"z": np.zeros((2, WIDTH), np.float32)},
        {},
    ],
    ids=["wrong shape of the right size", "wrong dtype of the right size", "wrong name", "missing"],
)
def test_inputs_that_do_not_fit_are_damage(folder: Path, backend: Any, inputs: dict[str, Any]) -> None:
    backend.load(graph(2), folder)
    with pytest.raises(DamagedBundle, match="failed while it ran"):
        backend.run(inputs)


def test_memory_that_runs_out_is_over_budget(folder: Path, backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Failed to allocate tensors\n└ more")

    monkeypatch.setattr(tflite.CompiledModel, "from_file", fail)
    with pytest.raises(OverBudget, match=r"not enough memory to load toy\.tflite: Failed to allocate tensors$"):
        backend.load(graph(2), folder)


def test_the_weights_are_held_once_for_all_signatures(folder: Path, tripled: Path) -> None:
    taken = []
    for place in (folder, tripled):
        command = [sys.executable, "-m", "lira_runtime.loaded", "tflite", str(place)]
        done = subprocess.run(command, input=msgspec.json.encode(graph(2)), capture_output=True, check=True)
        taken.append(msgspec.json.decode(done.stdout, type=StageRun).loaded_bytes)
    assert min(taken) > WEIGHT.nbytes / 2 > taken[0] - taken[1]


def test_nothing_is_written_to_the_terminal_or_beside_the_file(folder: Path) -> None:
    code = (
        "import sys, numpy as np, msgspec; from pathlib import Path;"
        "from lira_runtime.backends.tflite import TfliteBackend; from lira_runtime.manifest import Graph;"
        "g = msgspec.json.decode(sys.argv[1], type=Graph); b = TfliteBackend(); b.load(g, Path(sys.argv[2]));"
        f"b.run({{'x': np.zeros((2, {WIDTH}), np.float32)}}); assert 'torch' not in sys.modules; b.unload()"
    )
    command = [sys.executable, "-c", code, msgspec.json.encode(graph(2)).decode(), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.name for path in folder.iterdir()] == ["toy.tflite"]

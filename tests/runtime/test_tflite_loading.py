"""Where a TFLite file's packed weights lie: in memory, or in a cache file that is mapped."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import litert_torch
import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.cache import CACHE_VARIABLE
from lira_runtime.errors import BadInput
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import Graph

RUNTIME = Path(__file__).parents[2] / "runtime"
WIDTH = 2048
WEIGHT = np.random.default_rng(7).standard_normal((WIDTH, WIDTH), np.float32) / 32
X = np.random.default_rng(8).standard_normal((2, WIDTH), np.float32)
GRAPH = Graph(
    path="toy.tflite",
    entry="main",
    inputs=(TensorSpec(name="x", shape=X.shape, dtype="float32"),),
    outputs=(TensorSpec(name="y", shape=X.shape, dtype="float32"),),
)
MEASURE = """
import json, sys
from pathlib import Path
import msgspec, numpy as np
from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.session import SessionSettings
from lira_runtime.manifest import Graph
from lira_runtime.memory.meter import release

def status():
    return {name: 1024 * int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0])
            for name in ("RssAnon", "RssFile", "RssShmem")}

graph, folder, weights = msgspec.json.decode(sys.argv[1], type=Graph), Path(sys.argv[2]), sys.argv[3]
backend = backend_for("tflite", SessionSettings(threads=1, weights=weights))
x = np.load(folder / "x.npy")
backend.load(graph, folder)  # packs, where nobody has
backend.unload()
before = status()
backend.load(graph, folder)
np.save(folder / f"{weights}.npy", backend.run({"x": x})["y"])
loaded = status()
backend.unload()
release()
print(json.dumps([{name: held - before[name] for name, held in each.items()} for each in (loaded, status())]))
"""


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": torch.tanh(x) @ self.weight.T}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("toy")
    np.save(place / "x.npy", X)
    converter = litert_torch.signature("main", Toy().eval(), sample_kwargs={"x": torch.zeros(X.shape)})
    converter.convert().export(str(place / GRAPH.path))
    return place


def measured(folder: Path, weights: str) -> list[dict[str, int]]:
    """What a process takes on, in bytes, with the graph loaded and after it was unloaded."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, msgspec.json.encode(GRAPH).decode(), str(folder), weights],
        env={**os.environ, "PYTHONPATH": str(RUNTIME), CACHE_VARIABLE: str(folder / "cache")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, int]] = json.loads(run.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous from mapped")
def test_mapped_weights_are_pages_of_the_cache_file_and_unloading_frees_either_kind(folder: Path) -> None:
    (packed, *after_packed), (mapped, *after_mapped) = measured(folder, "packed"), measured(folder, "mapped")
    assert packed["RssShmem"] + packed["RssAnon"] > WEIGHT.nbytes
    assert mapped["RssShmem"] + mapped["RssAnon"] < WEIGHT.nbytes / 2 and mapped["RssFile"] > WEIGHT.nbytes
    found = {mode: np.load(folder / f"{mode}.npy") for mode in ("packed", "mapped")}
    assert np.array_equal(found["packed"], found["mapped"])
    np.testing.assert_allclose(found["packed"], np.tanh(X.astype(np.float64)) @ WEIGHT.T, atol=1e-4)
    for unloaded in (*after_packed, *after_mapped):
        assert sum(unloaded.values()) < WEIGHT.nbytes / 4


def test_a_spoilt_cache_file_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))

    def output() -> Any:
        backend = backend_for("tflite", SessionSettings(threads=1, weights="mapped"))
        backend.load(GRAPH, folder)
        try:
            return backend.run({"x": X})["y"]
        finally:
            backend.unload()

    first = output()
    (file,) = tmp_path.glob("*/weights.xnnpack")
    made, data = file.stat(), file.read_bytes()
    assert np.array_equal(output(), first)
    assert file.stat().st_ino == made.st_ino and file.read_bytes() == data, "LiteRT writes to what it finds"
    for spoilt in (
        b"no weights",
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    ):
        file.write_bytes(spoilt)
        assert np.array_equal(output(), first)
        assert file.read_bytes() == data


def test_streaming_is_refused_in_one_sentence() -> None:
    with pytest.raises(BadInput, match="--weights mapped"):
        backend_for("tflite", SessionSettings(weights="streamed"))

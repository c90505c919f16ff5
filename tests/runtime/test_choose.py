"""Which engine runs a bundle, and the engine that keeps what it has loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.kept import KeptGraphs
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.manifest import Graph


def test_onnx_bundles_are_run_by_onnx_runtime() -> None:
    assert isinstance(backend_for("onnx"), OnnxBackend)


def test_core_ml_is_refused_and_what_to_use_is_said() -> None:
    with pytest.raises(BadInput, match="not by lira-generate; lira-compare"):
        backend_for("coreml")


def test_a_missing_engine_is_named_with_what_to_type(without_package: Callable[..., None]) -> None:
    without_package("ai_edge_litert", "lira_runtime.backends.tflite")
    with pytest.raises(BadInput, match=r"ai_edge_litert is not installed.*pip install '\.\[litert\]'"):
        backend_for("tflite")


class Counting:
    """An engine that tells which graph it holds, and counts what it is asked for."""

    loads: list[str] = []  # noqa: RUF012, of all engines together

    def load(self, graph: Graph, directory: Path) -> None:
        self.graph = graph
        self.loads.append(f"{graph.path} {graph.entry}")

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"graph": self.graph}

    def unload(self) -> None:
        raise AssertionError("what is kept is never unloaded")


def graph(path: str, entry: str) -> Graph:
    return Graph(path=path, entry=entry, inputs=(), outputs=())


def test_kept_graphs_are_loaded_once_for_each_path_and_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Counting, "loads", [])
    kept = KeptGraphs(Counting)
    asked = [graph("a.tflite", "small"), graph("a.tflite", "large"), graph("b.tflite", "small")]
    for _ in range(3):
        for each in asked:
            kept.load(each, tmp_path)
            assert kept.run({}) == {"graph": each}
            kept.unload()
    assert Counting.loads == ["a.tflite small", "a.tflite large", "b.tflite small"]
    kept.load(asked[0], tmp_path / "another")
    assert len(Counting.loads) == 4, "the same names in another bundle are other graphs"
    kept.unload()
    with pytest.raises(RuntimeError, match="load a graph"):
        kept.run({})


def test_kept_graphs_compute_what_their_engine_does(toy_bundle: Path) -> None:
    bundle, latent = Bundle.open(toy_bundle), np.full((1, 4, 8, 8), 0.25, np.float32)
    plain, kept = OnnxBackend(), KeptGraphs(OnnxBackend)
    plain.load(bundle.graph("decoder"), bundle.path)
    for name in ("decoder", "denoiser", "decoder"):
        kept.load(bundle.graph(name), bundle.path)
    wanted = plain.run({"latent": latent})["image"]
    np.testing.assert_array_equal(kept.run({"latent": latent})["image"], wanted)

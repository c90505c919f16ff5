from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from toy_reference import toy_image

from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.session import SessionSettings, session_options
from lira_runtime.bundle import Bundle
from lira_runtime.errors import DamagedBundle, LiRAError, OverBudget


def test_a_loaded_graph_returns_its_named_outputs(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.component("decoder"), bundle.graph("decoder"))
    latent = np.arange(4 * 64, dtype=np.float32).reshape(1, 4, 8, 8) / 256
    image = backend.run({"latent": latent})["image"]
    assert image.shape == (1, 3, 16, 16)
    np.testing.assert_allclose(image[0].transpose(1, 2, 0), toy_image(latent), atol=1e-6)


def test_only_one_graph_is_held_at_a_time(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.component("decoder"), bundle.graph("decoder"))
    with pytest.raises(RuntimeError, match="unload"):
        backend.load(bundle.component("denoiser"), bundle.graph("denoiser"))
    backend.unload()
    with pytest.raises(RuntimeError, match="load a graph"):
        backend.run({})
    backend.load(bundle.component("denoiser"), bundle.graph("denoiser"))


def test_bytes_that_are_no_graph_are_damaged(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    bundle.graph("decoder").write_bytes(b"no graph at all")
    with pytest.raises(DamagedBundle, match=r"decoder\.onnx"):
        OnnxBackend().load(bundle.component("decoder"), bundle.graph("decoder"))


def test_a_graph_that_differs_from_its_entry_is_damaged(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    with pytest.raises(DamagedBundle, match="inputs"):
        OnnxBackend().load(bundle.component("decoder"), bundle.graph("text_encoder"))
    entry = bundle.component("decoder")
    taller = msgspec.structs.replace(entry.outputs[0], shape=(1, 3, 32, 16))
    with pytest.raises(DamagedBundle, match="outputs"):
        OnnxBackend().load(msgspec.structs.replace(entry, outputs=(taller,)), bundle.graph("decoder"))


@pytest.fixture
def loaded(toy_bundle: Path) -> OnnxBackend:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.component("decoder"), bundle.graph("decoder"))
    return backend


@pytest.mark.parametrize(
    "inputs",
    [
        {"latent": np.zeros((1, 4, 8, 9), np.float32)},
        {"latent": np.zeros((1, 4, 8, 8), np.float64)},
        {"latents": np.zeros((1, 4, 8, 8), np.float32)},
        {},
    ],
    ids=["wrong shape", "wrong dtype", "wrong name", "missing"],
)
def test_a_graph_that_fails_while_it_runs_is_damaged(loaded: OnnxBackend, inputs: dict[str, Any]) -> None:
    with pytest.raises(DamagedBundle, match="failed while it ran") as caught:
        loaded.run(inputs)
    assert "\n" not in str(caught.value)


class Failing:
    """A session that fails as it is told."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, names: list[str], inputs: dict[str, Any]) -> list[Any]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("Failed to allocate memory for requested buffer of size 4294967296"), OverBudget),
        (RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during run: std::bad_alloc"), OverBudget),
        (MemoryError("Unable to allocate 4.00 GiB for an array with shape (1073741824,)"), OverBudget),
        (MemoryError(), OverBudget),
        (RuntimeError("Non-zero status code returned while running Reshape node\nmore"), DamagedBundle),
        (RuntimeError(), DamagedBundle),
    ],
    ids=["buffer", "bad_alloc", "array", "bare MemoryError", "node", "no message"],
)
def test_only_a_failure_to_allocate_is_over_budget(
    loaded: OnnxBackend, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[LiRAError]
) -> None:
    monkeypatch.setattr(loaded, "_session", Failing(error))
    with pytest.raises(LiRAError) as caught:
        loaded.run({"latent": np.zeros((1, 4, 8, 8), np.float32)})
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_sessions_keep_no_arena_and_obey_the_settings() -> None:
    options = session_options(SessionSettings(threads=3, spinning=False))
    assert options.enable_cpu_mem_arena is False
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session_options(SessionSettings()).get_session_config_entry("session.intra_op.allow_spinning") == "1"

from pathlib import Path

import msgspec
import numpy as np
import pytest

from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.session import SessionSettings, session_options
from lira_runtime.bundle import Bundle
from lira_runtime.errors import DamagedBundle


def test_a_loaded_graph_returns_its_named_outputs(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.component("decoder"), bundle.graph("decoder"))
    latent = np.arange(4 * 64, dtype=np.float32).reshape(1, 4, 8, 8) / 256
    image = backend.run({"latent": latent})["image"]
    np.testing.assert_allclose(image, latent[:, :3].repeat(2, axis=2).repeat(2, axis=3), atol=1e-6)


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


def test_sessions_keep_no_arena_and_obey_the_settings() -> None:
    options = session_options(SessionSettings(threads=3, spinning=False))
    assert options.enable_cpu_mem_arena is False
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session_options(SessionSettings()).get_session_config_entry("session.intra_op.allow_spinning") == "1"

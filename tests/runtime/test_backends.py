import resource
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import psutil
import pytest
from toy_reference import toy_image

from lira_runtime.backends import session
from lira_runtime.backends.loading import Loaded
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.session import SessionSettings, open_session, session_options
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, DamagedBundle, LiRAError, OverBudget
from lira_runtime.memory.meter import release


def test_a_loaded_graph_returns_its_named_outputs(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.graph("decoder"), bundle.path)
    latent = np.arange(4 * 64, dtype=np.float32).reshape(1, 4, 8, 8) / 256
    image = backend.run({"latent": latent})["image"]
    assert image.shape == (1, 3, 16, 16)
    np.testing.assert_allclose(image[0].transpose(1, 2, 0), toy_image(latent), atol=1e-6)


def test_only_one_graph_is_held_at_a_time(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.graph("decoder"), bundle.path)
    with pytest.raises(RuntimeError, match="unload"):
        backend.load(bundle.graph("denoiser"), bundle.path)
    backend.unload()
    with pytest.raises(RuntimeError, match="load a graph"):
        backend.run({})
    backend.load(bundle.graph("denoiser"), bundle.path)


def test_bytes_that_are_no_graph_are_damaged(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    (toy_bundle / "decoder.onnx").write_bytes(b"no graph at all")
    with pytest.raises(DamagedBundle, match=r"decoder\.onnx"):
        OnnxBackend().load(bundle.graph("decoder"), bundle.path)


def test_a_graph_that_differs_from_its_entry_is_damaged(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    graph = bundle.graph("decoder")
    with pytest.raises(DamagedBundle, match=r"inputs of the graph text_encoder\.onnx"):
        OnnxBackend().load(msgspec.structs.replace(graph, path="text_encoder.onnx"), bundle.path)
    taller = msgspec.structs.replace(graph.outputs[0], shape=(1, 3, 32, 16))
    with pytest.raises(DamagedBundle, match=r"outputs of the graph decoder\.onnx"):
        OnnxBackend().load(msgspec.structs.replace(graph, outputs=(taller,)), bundle.path)


@pytest.fixture
def loaded(toy_bundle: Path) -> OnnxBackend:
    bundle = Bundle.open(toy_bundle)
    backend = OnnxBackend()
    backend.load(bundle.graph("decoder"), bundle.path)
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
    monkeypatch.setattr(loaded, "_loaded", Loaded(Failing(error)))
    with pytest.raises(LiRAError) as caught:
        loaded.run({"latent": np.zeros((1, 4, 8, 8), np.float32)})
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_sessions_obey_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def spins(settings: SessionSettings) -> str:
        return session_options(settings).get_session_config_entry("session.intra_op.allow_spinning")

    monkeypatch.setattr(session, "default_threads", lambda: 5)
    assert session_options(SessionSettings(threads=3)).intra_op_num_threads == 3
    assert session_options(SessionSettings()).intra_op_num_threads == 5
    for battery in (False, True):
        monkeypatch.setattr(session, "on_battery", lambda battery=battery: battery)
        assert spins(SessionSettings()) == ("0" if battery else "1")
        assert spins(SessionSettings(spinning=False)) == "0"
        assert spins(SessionSettings(spinning=True)) == "1"


@pytest.mark.parametrize("threads", [-1, 257])
def test_an_impossible_number_of_threads_is_refused(threads: int) -> None:
    with pytest.raises(BadInput, match=f"0 to 256, not {threads}"):
        SessionSettings(threads=threads)


BIG_BYTES = 64 << 20


def big_workspace_graph(path: Path) -> Path:
    """y = sum of (x repeated until it is 64 MiB) squared twice: no weights, much workspace."""
    nodes = [
        onnx.helper.make_node("Expand", ["x", "shape"], ["large"]),
        onnx.helper.make_node("Mul", ["large", "large"], ["squared"]),
        onnx.helper.make_node("Exp", ["squared"], ["exp"]),
        onnx.helper.make_node("ReduceSum", ["exp"], ["y"], keepdims=0),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "large",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [])],
        [onnx.numpy_helper.from_array(np.array([BIG_BYTES // 4], np.int64), "shape")],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def run_big(loaded: ort.InferenceSession) -> float:
    return float(loaded.run(None, {"x": np.zeros(1, np.float32)})[0])


def test_workspace_is_kept_between_runs_and_given_back_on_unload(tmp_path: Path) -> None:
    def resident() -> int:
        return int(psutil.Process().memory_info().rss)

    def faults() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    graph = big_workspace_graph(tmp_path / "large.onnx")
    release()
    before = resident()
    loaded = open_session(graph, SessionSettings(threads=1))
    assert run_big(loaded) == BIG_BYTES // 4
    held, faults_before = resident(), faults()
    run_big(loaded)
    assert held - before > BIG_BYTES
    assert faults() - faults_before < BIG_BYTES / 4096 / 100
    del loaded
    release()
    assert resident() - before < BIG_BYTES / 8


def test_weights_stored_as_int8_are_unpacked_when_the_graph_loads(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("DequantizeLinear", ["q", "scale"], ["w"], axis=1),
            onnx.helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "stored",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])],
        [
            onnx.numpy_helper.from_array(np.arange(12, dtype=np.int8).reshape(4, 3), "q"),
            onnx.numpy_helper.from_array(np.array([1, 2, 4], np.float32), "scale"),
        ],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    options = session_options(SessionSettings(threads=1))
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    opened = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = np.ones((2, 4)) @ (np.arange(12).reshape(4, 3) * [1, 2, 4])
    assert np.array_equal(opened.run(None, {"x": np.ones((2, 4), np.float32)})[0], wanted)
    assert [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node] == ["MatMul"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells anonymous memory from mapped files")
def test_a_table_is_read_from_its_mapped_file_and_never_copied(tmp_path: Path) -> None:
    rows, width = 1 << 17, 512
    table = np.tile(np.arange(rows, dtype=np.int64).astype(np.int8)[:, None], (1, width))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Gather", ["table", "ids"], ["y"])],
        "table",
        [onnx.helper.make_tensor_value_info("ids", onnx.TensorProto.INT32, [77])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT8, [77, width])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "table.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="table.onnx.data")
    table_bytes = table.nbytes
    del table, graph, model
    release()

    def anonymous() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("RssAnon:")[1].split()[0])

    before = anonymous()
    loaded = open_session(path, SessionSettings(threads=1))
    ids = np.arange(77, dtype=np.int32) * 1700
    found = loaded.run(None, {"ids": ids})[0]
    assert np.array_equal(found[:, 0], ids.astype(np.int8)) and (found == found[:, :1]).all()
    assert anonymous() - before < table_bytes / 8

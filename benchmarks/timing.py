"""Timing that survives a machine whose speed drifts, and the matrix products that no step can be faster than.

Everything that is to be compared runs in turn (A, B, C, A, B, C, ...), the ceilings too, so that a slow spell hits all.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from lira_runtime.backends.session import SessionSettings, session_options

GEMM_ROWS, GEMM_DEPTH, GEMM_COLUMNS = 1024, 2048, 2048
"""Large enough for both formats to reach their top rate."""
LEAST_GFLOP = 8
"""A small product is repeated until it takes milliseconds."""
REST_SECONDS = 0.05
"""Between two runs: the threads of the library that ran last spin on for a while."""


@dataclass(frozen=True)
class Gemm:
    """A matrix product, ready to run as often as `LEAST_GFLOP` asks; gflop counts all of that."""

    run: Callable[[], object]
    gflop: float


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call after one warm-up."""
    return interleaved({"run": run}, repeats)["run"]


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median wall time of every call, in ms: each is warmed up once, then all run in turn `rounds` times."""
    return {name: median(values) for name, values in laps(runs, rounds).items()}


def laps(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Wall time of every call in every round, in ms, as `interleaved` takes the median of."""
    for run in runs.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(REST_SECONDS)
            start = time.perf_counter()
            run()
            found[name].append(1e3 * (time.perf_counter() - start))
    return found


def fp32_gemm(rows: int = GEMM_ROWS, depth: int = GEMM_DEPTH, columns: int = GEMM_COLUMNS) -> Gemm:
    """A float32 matrix product in PyTorch."""
    a, b = torch.randn(rows, depth), torch.randn(depth, columns)
    return _repeated(lambda: a @ b, rows, depth, columns)


def int8_gemm(threads: int, rows: int = GEMM_ROWS, depth: int = GEMM_DEPTH, columns: int = GEMM_COLUMNS) -> Gemm:
    """A uint8 x int8 MatMulInteger with a constant right side in onnxruntime."""
    weight = np.random.default_rng(0).integers(-127, 128, (depth, columns), np.int8)
    x = np.random.default_rng(1).integers(0, 256, (rows, depth), np.uint8)
    run = product_of([helper.make_node("MatMulInteger", ["x", "w"], ["y"])], x, {"w": weight}, threads)
    return _repeated(run, rows, depth, columns)


def product_of(
    nodes: Sequence[onnx.NodeProto], x: NDArray[Any], constants: Mapping[str, NDArray[Any]], threads: int
) -> Callable[[], Any]:
    """A call that runs nodes from x and constants to y in onnxruntime, with the runtime's own settings."""
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = ort.InferenceSession(
        onnx.shape_inference.infer_shapes(model).SerializeToString(),
        session_options(SessionSettings(threads=threads)),
        providers=["CPUExecutionProvider"],
    )
    return lambda: session.run(None, {"x": x})


def ceilings(threads: int) -> dict[str, Gemm]:
    """The two products to time beside everything else, by the names that `rates` looks for."""
    return {"fp32 GEMM": fp32_gemm(), "int8 GEMM": int8_gemm(threads)}


def rates(gemms: Mapping[str, Gemm], times: Mapping[str, float]) -> dict[str, float]:
    """Gop/s of every product, given the ms that its runs took."""
    return {name: 1e3 * gemm.gflop / times[name] for name, gemm in gemms.items()}


@torch.inference_mode()
def gflop(run: Callable[[], object]) -> float:
    """Arithmetic of a call in PyTorch, a multiply-add counting as two: matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def _repeated(product: Callable[[], object], rows: int, depth: int, columns: int) -> Gemm:
    once = 2 * rows * depth * columns / 1e9
    repeats = math.ceil(LEAST_GFLOP / once)

    def run() -> None:
        for _ in range(repeats):
            product()

    return Gemm(run, repeats * once)

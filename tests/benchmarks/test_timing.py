"""The yardsticks: order and medians of interleaved runs, arithmetic of products, memory of a fresh process."""

import time
from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper

import fresh
from lira_runtime.errors import OverBudget
from timing import LEAST_GFLOP, ceilings, gflop, int8_gemm, interleaved, rates


def test_interleaved_warms_up_then_takes_turns():
    calls: list[str] = []
    interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert "".join(calls) == "ab" + "ababab"


def test_interleaved_returns_the_median_and_leaves_out_the_warm_up():
    seconds = iter([0.5, 0.01, 0.3, 0.02])
    assert 20 <= interleaved({"a": lambda: time.sleep(next(seconds))}, rounds=3)["a"] < 100


@pytest.mark.parametrize("rows", [77, 1024])
def test_a_gemm_counts_whole_products_and_enough_of_them(rows: int):
    once = 2 * rows * 1024 * 512 / 1e9
    found = int8_gemm(1, rows, 1024, 512).gflop
    assert found / once == pytest.approx(round(found / once)) and LEAST_GFLOP <= found < LEAST_GFLOP + once


def test_rates_divide_arithmetic_by_time():
    gemms = ceilings(threads=1)
    found = rates(gemms, {"fp32 GEMM": 1000.0, "int8 GEMM": 500.0})
    wanted = {"fp32 GEMM": gemms["fp32 GEMM"].gflop, "int8 GEMM": 2 * gemms["int8 GEMM"].gflop}
    assert found == pytest.approx(wanted)


def test_gflop_of_a_linear_layer_is_the_closed_form():
    layer = torch.nn.Linear(48, 96)
    assert gflop(lambda: layer(torch.zeros(10, 48))) == pytest.approx(2 * 10 * 48 * 96 / 1e9)


def test_memory_of_a_fresh_process_counts_what_the_graph_holds(tmp_path: Path):
    small, large = (fresh.measure(_ones(tmp_path, megabytes), 1, 1) for megabytes in (1, 201))
    grown = (large.peak_bytes - small.peak_bytes) / 1e6
    assert 200 <= grown < 260, "200 MB more of output, and a little of the allocator's"
    assert large.idle_bytes == pytest.approx(small.idle_bytes, rel=0.1), "the graph is not part of the idle process"


def test_a_graph_that_cannot_be_run_is_one_sentence(tmp_path: Path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no graph")
    with pytest.raises(OverBudget, match="broken.onnx"):
        fresh.measure(broken, 1, 1)


def _ones(folder: Path, megabytes: int) -> Path:
    """A graph that adds its one number to `megabytes` of float32 ones."""
    count = megabytes * 250_000
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "shape"], ["y"])],
        "ones",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [count])],
        [helper.make_tensor("shape", TensorProto.INT64, [1], [count])],
    )
    path = folder / f"ones-{megabytes}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path

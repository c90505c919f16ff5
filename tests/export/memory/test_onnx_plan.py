"""onnxruntime's plan, against sums by hand and onnxruntime itself."""

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lira_export.memory.liveness import live_buffers, peak_bytes
from lira_export.memory.onnx_plan import in_runtime_order, planned_buffers
from lira_export.memory.trace import Op, Trace, Value
from lira_runtime.backends.session import SessionSettings, open_session
from lira_runtime.memory.meter import release, resident_bytes


def line(*shapes: tuple[int, ...], kinds: dict[int, str] | None = None) -> Trace:
    """Ops one after the other, each with one float tensor of the next shape; the first shape is the input's."""
    values = [Value(number, shape, 4) for number, shape in enumerate(shapes)]
    ops = [Op((kinds or {}).get(number, "matmul"), (number,), (value,)) for number, value in enumerate(values[1:])]
    return Trace((values[0],), tuple(ops), (values[-1].name,))


def planned(trace: Trace) -> int:
    return peak_bytes(planned_buffers(trace))


def test_tensors_of_one_shape_take_turns() -> None:
    assert planned(line((1, 2), (10, 2), (10, 2), (10, 2), (10, 2), (1, 2))) == 4 * (20 + 20)


def test_a_buffer_that_is_taken_again_is_kept_meanwhile() -> None:
    trace = line((1,), (100,), (1, 1), (70,), (1, 1), (100,), (1, 1, 1))
    assert peak_bytes(live_buffers(trace)) == 4 * 101
    assert planned(trace) == 4 * (100 + 70 + 1)


def test_another_shape_of_the_same_size_does_not_take_a_buffer() -> None:
    apart = line((1,), (100,), (1, 1), (70,), (1, 1), (10, 10), (1, 1, 1))
    assert planned(apart) == 4 * 101


def test_ops_in_place_and_aliases_take_no_buffer() -> None:
    kinds = {1: "relu", 2: "reshape", 3: "exp"}
    assert planned(line((1,), (8, 4), (8, 4), (4, 8), (4, 8), (1,), kinds=kinds)) == 4 * (32 + 1)
    other_shape = {1: "relu"}
    assert planned(line((1,), (8, 4), (4, 8), (1,), kinds=other_shape)) == 4 * 64


def test_what_is_read_again_is_not_written_over() -> None:
    x, a, b, c = (Value(number, shape, 4) for number, shape in enumerate([(1,), (100,), (100,), (1,)]))
    alone, again = (
        (Op("matmul", (0,), (a,)), Op("relu", (1,), (b,)), Op("matmul", reads, (c,))) for reads in ((2,), (1, 2))
    )
    assert planned(Trace((x,), alone, (3,))) == 4 * (100 + 1)
    assert planned(Trace((x,), again, (3,))) == 4 * (100 + 100 + 1)


def test_the_order_is_depth_first_from_the_output_and_the_latest_input_goes_first() -> None:
    x, a, b, c = (Value(number, (2,), 4) for number in range(4))
    ops = (Op("a", (0,), (a,)), Op("b", (0,), (b,)), Op("c", (1, 2), (c,)))
    found = in_runtime_order(Trace((x,), ops, (3,)))
    assert [op.kind for op in found.ops] == ["b", "a", "c"]


def _spread_and_gather(sides: list[tuple[int, int]], goal: Path) -> None:
    """x (1, 1) -> for each (m, n): (m, n) by products with a row and a column, and back to (1, 1)."""
    nodes, constants, source = [], [], "x"

    def product(left: str, right: str, name: str) -> str:
        nodes.append(helper.make_node("MatMul", [left, right], [name]))
        return name

    def ones(name: str, *shape: int) -> str:
        constants.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
        return name

    for number, (m, n) in enumerate(sides):
        row = product(source, ones(f"row{number}", 1, n), f"wide{number}")
        matrix = product(ones(f"column{number}", m, 1), row, f"matrix{number}")
        row = product(ones(f"sum_rows{number}", 1, m), matrix, f"sum{number}")
        source = product(row, ones(f"sum_columns{number}", n, 1), f"end{number}")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]) for name in ("x", source))
    graph = helper.make_graph(nodes, "spread", [x], [y], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), goal)


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is Linux's")
def test_onnxruntime_keeps_a_buffer_that_it_will_need_again(tmp_path: Path) -> None:
    """Three large tensors that are never alive together; the last has the first one's shape, or as many numbers."""
    first, second, other = (4096, 4096), (4096, 2048), (2048, 8192)
    taken = {}
    for last in (first, other):
        _spread_and_gather([first, second, last], tmp_path / "graph.onnx")
        session = open_session(tmp_path / "graph.onnx", SessionSettings(threads=1))
        release()
        before = resident_bytes()
        session.run(None, {"x": np.ones((1, 1), np.float32)})
        taken[last] = resident_bytes() - before
    shapes = ((1, 1), first, (1, 1, 1), second, (1, 1, 1), first, (1,))
    kept, alive = planned(line(*shapes)), peak_bytes(live_buffers(line(*shapes)))
    assert (kept, alive) == (4 * 4096 * (4096 + 2048) + 4, 4 * 4096 * 4096 + 4)
    assert taken[first] == pytest.approx(kept, rel=0.1)
    assert taken[other] == pytest.approx(alive, rel=0.1)

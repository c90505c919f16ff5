"""What stops an export: each gate with something that must not pass it."""

import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lira_export import gates
from lira_export.gates import check_files, check_loaded, check_quantized, inspect, measure_parity
from lira_export.loaded import run_stage
from lira_export.parity import Sample
from lira_export.recipes import RECIPES, get_recipe
from lira_export.target import Inventory, Job, Written
from lira_runtime.errors import DamagedBundle, OverBudget, ParityLost
from lira_runtime.interface import IMAGE_ENCODER, TensorSpec
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import Graph

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is Linux's")
INT8, FP32 = get_recipe("int8", "onnx"), get_recipe("fp32", "onnx")


def holding(elements: dict[str, int]) -> Inventory:
    return Inventory(Counter(), Counter(), Counter(), Counter(elements), 4)


@pytest.mark.parametrize(
    ("recipe", "fits", "too_wide", "sentence"),
    [
        ("int8", {"int8": 80, "float32": 20}, {"int8": 79, "float32": 21}, "21% .* wider than int8, .* allows 20%"),
        ("int8", {"int8": 80, "float16": 20}, {"int8": 79, "float16": 21}, "21% .* wider than int8, .* allows 20%"),
        ("int4", {"int4": 80, "float16": 20}, {"int4": 79, "float16": 21}, "21% .* wider than int8, .* allows 20%"),
        ("int4", {"int4": 80, "int8": 20}, {"int8": 100}, "100% .* wider than int4, .* allows 20%"),
        ("int4", {"int4": 80, "int8": 20}, {"uint6": 100}, "100% .* wider than int4, .* allows 20%"),
        ("int6", {"uint6": 80, "float16": 20}, {"uint8": 100}, "100% .* wider than uint6, .* allows 20%"),
        ("int6", {"uint6": 80, "int8": 20}, {"uint6": 79, "int8": 21}, "21% .* wider than uint6, .* allows 20%"),
        ("mixed", {"uint6": 60, "int8": 20, "float16": 20}, {"int8": 100}, "100% .* wider than uint6, .* allows 40%"),
        ("mixed", {"uint6": 60, "int8": 40}, {"uint6": 79, "float16": 21}, "21% .* wider than int8, .* allows 20%"),
        ("fp16", {"float16": 50, "float32": 50}, {"float32": 100}, "100% .* wider than float16, .* allows 50%"),
        (
            "fp32",
            {"float32": 99, "int64": 1},
            {"float64": 51, "float32": 49},
            "51% .* wider than float32, .* allows 50%",
        ),
    ],
)
def test_more_wide_weights_than_the_recipe_allows_are_caught(
    recipe: str, fits: dict[str, int], too_wide: dict[str, int], sentence: str
) -> None:
    check_quantized("denoiser", RECIPES[recipe], holding(fits))
    with pytest.raises(ParityLost, match=f"^denoiser: {sentence}: the file is not quantized"):
        check_quantized("denoiser", RECIPES[recipe], holding(too_wide))


def test_int4_leaves_convolutions_in_int8_and_int6_does_not() -> None:
    check_quantized("decoder", RECIPES["int4"], holding({"int8": 50, "float32": 50}))
    with pytest.raises(ParityLost, match="51% .* wider than int8"):
        check_quantized("decoder", RECIPES["int4"], holding({"int8": 49, "float32": 51}))
    with pytest.raises(ParityLost, match="60% .* wider than uint6"):
        check_quantized("decoder", RECIPES["int6"], holding({"int8": 60, "uint6": 40}))


@pytest.mark.parametrize(
    ("recipe", "fits", "too_narrow", "sentence"),
    [
        ("fp32", {"float32": 99, "bool": 1}, {"float32": 98, "bool": 2}, "2% .* narrower than float32"),
        ("fp32", {"float32": 99, "int64": 1}, {"float16": 100}, "100% .* narrower than float32"),
        ("fp32", {"float32": 100}, {"float32": 20, "int8": 80}, "80% .* narrower than float32"),
        ("fp16", {"float16": 60, "float32": 40}, {"float16": 20, "int8": 80}, "80% .* narrower than float16"),
        ("int8", {"int8": 99, "uint4": 1}, {"int8": 90, "uint6": 10}, "10% .* narrower than int8"),
        ("int6", {"uint6": 100}, {"uint6": 90, "uint5": 10}, "10% .* narrower than uint6"),
        ("mixed", {"uint6": 60, "int8": 40}, {"int4": 60, "int8": 40}, "60% .* narrower than uint6"),
        ("int4", {"int4": 100}, {"int4": 98, "uint3": 2}, "2% .* narrower than int4"),
    ],
)
def test_weights_that_are_narrower_than_the_recipe_says_are_caught(
    recipe: str, fits: dict[str, int], too_narrow: dict[str, int], sentence: str
) -> None:
    check_quantized("denoiser", RECIPES[recipe], holding(fits))
    with pytest.raises(ParityLost, match=f"^denoiser: {sentence}, which is not what recipe {recipe} says"):
        check_quantized("denoiser", RECIPES[recipe], holding(too_narrow))


def test_a_float_recipe_has_no_room_to_save() -> None:
    check_quantized("denoiser", FP32, holding({"float32": 100}))
    check_loaded("denoiser", FP32, holding({"float32": 10**8}), 10**9)


def test_a_loaded_graph_that_takes_the_memory_of_its_float32_weights_is_caught() -> None:
    big, small = holding({"int8": 25_000_000}), holding({"int8": 10_000_000})
    check_loaded("denoiser", INT8, big, 99_999_999)
    check_loaded("denoiser", INT8, small, 41_000_000)  # less than what any process takes on
    with pytest.raises(ParityLost, match="101 MB once loaded, 100 MB would be its float32 weights"):
        check_loaded("denoiser", INT8, big, 101_000_000)


SIDES = (64, 128)
TENSOR = TensorSpec(name="x", shape=(1, 8), dtype="float32")
GRAPHS = tuple(
    Graph(path="decoder", entry=f"r{side}", resolution=side, inputs=(TENSOR,), outputs=(TENSOR,)) for side in SIDES
)


@dataclass
class HandMade:
    """A `Target` and its own `Backend`: the inventories that it is given; references a little off, one further off."""

    samples: dict[int, list[Sample]] = field(default_factory=dict)
    spoiled: tuple[int, int] = (0, 0)
    inventories: dict[int, Inventory] = field(default_factory=dict)
    name: str = "tflite"
    side: int = 0

    def inventory(self, graph: Graph, folder: Path) -> Inventory:
        return self.inventories[graph.resolution or 0]

    def backend(self) -> "HandMade":
        return self

    def load(self, graph: Graph, directory: Path) -> None:
        self.side = graph.resolution or 0

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        index = int(inputs["x"])
        error = 0.1 if (self.side, index) == self.spoiled else 0.001
        return {"x": self.samples[self.side][index].reference + np.float32(error)}

    def unload(self) -> None:
        self.side = 0


def hand_made_job(samples: dict[int, list[Sample]]) -> Job:
    return Job("decoder", {}, samples, INT8, None, Path(), lambda line: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("spoiled", [(side, index) for side in SIDES for index in range(3)])
def test_the_worst_sample_of_all_resolutions_is_what_counts(spoiled: tuple[int, int]) -> None:
    reference = np.tile(np.array([1, -1], np.float32), 4)  # at a right angle to the error, which is constant
    samples = {side: [Sample({"x": np.array(index)}, reference) for index in range(3)] for side in SIDES}
    job, written = hand_made_job(samples), Written(GRAPHS, ())
    found = measure_parity(HandMade(samples, spoiled), job, written)  # type: ignore[arg-type]
    assert not found.passed and found.psnr_db == pytest.approx(20, abs=1e-3)
    assert found.cosine == pytest.approx(1 / np.sqrt(1 + 0.1**2), abs=1e-6)
    whole = measure_parity(HandMade(samples), job, written)  # type: ignore[arg-type]
    assert whole.passed and whole.psnr_db == pytest.approx(60, abs=1e-2)


GOOD = Inventory(Counter(CONV_2D=3), Counter(int8=3), Counter(int8=8), Counter(int8=8), 4)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ops": Counter(WHILE=1)}, "graph holds WHILE"),
        ({"highest_rank": 6}, "rank 6"),
        ({"undelegated": Counter(CUMSUM=1)}, "XNNPACK leaves 1 CUMSUM"),
        ({"weight_elements": Counter(float32=8)}, "the file is not quantized"),
    ],
)
def test_every_resolution_passes_every_gate_of_its_file(change: dict[str, Any], sentence: str, side: int) -> None:
    bad = {each: replace(GOOD, **(change if each == side else {})) for each in SIDES}
    with pytest.raises(ParityLost, match=f"decoder: .*{sentence}"):
        check_files(HandMade(inventories=bad), hand_made_job({}), Written(GRAPHS, ()))  # type: ignore[arg-type]


BIG = replace(GOOD, weight_elements=Counter(int8=25_000_000))
"""100 MB in float32."""


def stage(loaded: int, held: int) -> StageRun:
    """A run that has so many bytes over an idle process after loading, and after running."""
    return StageRun(idle=7, load_peak=8, loaded=7 + loaded, run_peak=9, held=7 + held, unloaded=7, library=0)


def test_memory_is_measured_once_the_file_passes_and_a_large_workspace_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = stage(loaded=40_000_000, held=336_000_000)
    monkeypatch.setattr(gates, "run_stage", lambda name, graph, folder, weights: run)
    written = Written(GRAPHS, (), kept_float32=("a tensor",))
    target, job = HandMade(inventories=dict.fromkeys(SIDES, BIG)), hand_made_job({})
    inspected = inspect(target, job, written, check_files(target, job, written))  # type: ignore[arg-type]
    assert inspected.runs == (run,) * len(GRAPHS)
    found = inspected.contents
    assert (found.loaded_bytes, found.kept_float32) == (336_000_000, ("a tensor",))
    assert (found.ops, found.products, found.weight_bytes) == ({"CONV_2D": 3}, {"int8": 3}, {"int8": 8})


@pytest.mark.parametrize("component", ["denoiser", "decoder", IMAGE_ENCODER])
@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_unpacking_at_load_is_forgiven_to_onnxs_convolutions_alone(
    target: str, component: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "run_stage", lambda *arguments: stage(loaded=101_000_000, held=0))
    job, written = replace(hand_made_job({}), name=component), Written(GRAPHS, ())
    if target == "onnx" and component != "denoiser":
        inspect(HandMade(name=target), job, written, (BIG, BIG))  # type: ignore[arg-type]
        return
    with pytest.raises(ParityLost, match=f"{component}: 101 MB once loaded"):
        inspect(HandMade(name=target), job, written, (BIG, BIG))  # type: ignore[arg-type]


def saved_product(path: Path, side: int, nodes: list[onnx.NodeProto], **constants: np.ndarray) -> Graph:
    """A graph of `nodes` over the constants, from x (1, side) to y (1, side)."""
    tensors = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, side]) for n in ("x", "y")]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "product", tensors[:1], tensors[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    x, y = (TensorSpec(name=name, shape=(1, side), dtype="float32") for name in ("x", "y"))
    return Graph(path=path.name, entry="main", inputs=(x,), outputs=(y,))


def measured(graph: Graph, folder: Path) -> StageRun:
    found = run_stage("onnx", graph, folder)
    assert found is not None and 0 < found.unrun_bytes <= found.peak_bytes
    return found


@LINUX
def test_what_loading_leaves_is_the_weights_and_no_process_before(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    small, large = (
        measured(saved_product(tmp_path / f"{n}.onnx", n, nodes, w=np.ones((n, n), np.float32)), tmp_path)
        for n in (16, 4096)
    )
    assert small.unrun_bytes < 32e6
    assert 0.9 * 4 * 4096**2 < large.unrun_bytes < 1.5 * 4 * 4096**2


@LINUX
def test_int8_weights_that_onnxruntime_unpacks_are_caught_and_those_it_multiplies_by_are_not(tmp_path: Path) -> None:
    side = 4200
    weight = np.random.default_rng(0).integers(-127, 128, (side, side), np.int8)
    unpacked = [helper.make_node("Cast", ["w"], ["v"], to=1), helper.make_node("MatMul", ["x", "v"], ["y"])]
    multiplied = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["wide"], to=1),
        helper.make_node("Expand", ["wide", "shape"], ["many"]),  # a workspace larger than the weights in float32
        helper.make_node("ReduceMax", ["many", "axes"], ["y"]),
    ]
    inventory = holding({"int8": side * side})
    shapes = {"shape": np.array([side, side]), "axes": np.array([0])}
    graph = saved_product(tmp_path / "multiplied.onnx", side, multiplied, w=weight, **shapes)
    honest = measured(graph, tmp_path)
    assert honest.loaded_bytes > 4 * side * side, "no workspace, nothing shown"
    check_loaded("denoiser", INT8, inventory, honest.unrun_bytes)
    unfolds = measured(saved_product(tmp_path / "unpacked.onnx", side, unpacked, w=weight), tmp_path)
    with pytest.raises(ParityLost, match="the runtime unpacks what the file holds quantized"):
        check_loaded("denoiser", INT8, inventory, unfolds.unrun_bytes)


def missing(tmp_path: Path) -> None:
    """Measure a graph that is not there."""
    x = TensorSpec(name="x", shape=(1,), dtype="float32")
    run_stage("onnx", Graph(path="none.onnx", entry="main", inputs=(x,), outputs=(x,)), tmp_path)


def test_a_graph_that_its_own_process_cannot_load_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(DamagedBundle, match=r"none\.onnx") as caught:
        missing(tmp_path)
    assert caught.value.code == "graph_refused"
    assert "\n" not in str(caught.value) and not str(caught.value).startswith("error:")


@pytest.mark.parametrize(
    ("code", "said", "kind", "sentence"),
    [
        (-signal.SIGKILL, "", OverBudget, "^the process that ran none.onnx was killed; .* memory runs out"),
        (3, "error: the machine ran out of memory.", OverBudget, "^the machine ran out of memory"),
        (-signal.SIGSEGV, "", DamagedBundle, "^the process that ran none.onnx crashed with SIGSEGV"),
        (1, "Traceback\nKeyError: 'x'", RuntimeError, "^the process that ran none.onnx failed: .*KeyError: 'x'"),
    ],
)
def test_only_a_process_that_ran_out_of_memory_is_over_budget(
    code: int, said: str, kind: type[Exception], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.CompletedProcess([], code, b"", said.encode())
    monkeypatch.setattr("lira_export.loaded.subprocess.run", lambda *arguments, **keywords: ended)
    with pytest.raises(kind, match=sentence):
        missing(tmp_path)

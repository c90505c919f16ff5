"""What a stage is predicted to take, added up by hand: an engine of round coefficients, a network of two layers."""

import pytest
import torch
from torch import Tensor, nn

from lira_export.components import Component
from lira_export.memory import predict
from lira_export.memory.calibration import CONVOLUTIONS, Engine, Streamed
from lira_export.memory.network import Network, Workspace
from lira_export.memory.predict import Load, StageMemory, predict_pipeline, predict_stage
from lira_export.recipes import RECIPES
from lira_runtime.interface import TensorSpec
from lira_runtime.manifest import TargetName, WeightsMode

OPS, PLANNED = 7, 1000
ENGINE = Engine(
    start=150,
    process=100,
    library=10,
    kept=12,
    session=1,
    op=3.0,
    workspace={"fp32": 1.5, "fp16": 2.0, "int8": 3.0, CONVOLUTIONS: 5.0},
    loading=0.5,
    left=0.25,
    streamed=Streamed(window=3000, loading=2000, loading_share=0.5, code=11),
)
RUNTIME = 10 + 1 + 3 * OPS
WIDTH, WIDER = 64, 128
TABLE = 100_000 * WIDTH
FIRST, SECOND = WIDTH * WIDTH, WIDTH * WIDER
BIASES = WIDTH + WIDER
"""Numbers of the table, of the two layers' weights, and of their biases, which stay float32 in every recipe."""
ROWS = 77 * (64 << 10)
"""Bytes of a table in a mapped file that a prompt touches: 64 KB a token."""


class _TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TABLE // WIDTH, WIDTH)
        self.first, self.second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDER)

    def forward(self, ids: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(self.table(ids))))


def network(module: nn.Module, *inputs: TensorSpec) -> Network:
    return Network.of(Component("text_encoder", module, module, inputs, ()), None)


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(predict, "engine_of", lambda target: ENGINE)
    monkeypatch.setattr(predict, "workspace", lambda network, target, recipe: Workspace(OPS, PLANNED))
    with torch.device("meta"):
        return network(_TwoLayers(), TensorSpec(name="ids", shape=(1, 77), dtype="int32"))


HALVES = 2 * (TABLE + FIRST + SECOND)
"""Bytes stored as float16; loading takes half of them and the largest layer for a moment, and leaves a quarter."""


@pytest.mark.parametrize(
    ("target", "recipe", "weights", "expected"),
    [
        (
            "onnx",
            "fp16",
            "packed",
            StageMemory(
                runtime=RUNTIME,
                weights=4 * (TABLE + FIRST + SECOND + BIASES),
                activations=2 * PLANNED,
                loading=4 * SECOND + HALVES // 2,
                left=HALVES // 4,
            ),
        ),
        (
            "onnx",
            "fp16",
            "mapped",
            StageMemory(RUNTIME, 4 * (FIRST + SECOND + BIASES) + ROWS, 2 * PLANNED, loading=0, left=0),
        ),
        (
            "onnx",
            "int8",
            "packed",
            StageMemory(RUNTIME, FIRST + SECOND + 4 * BIASES + ROWS, 3 * PLANNED, loading=SECOND, left=0),
        ),
        (
            "onnx",
            "int8",
            "mapped",
            StageMemory(RUNTIME, FIRST + SECOND + 4 * BIASES + ROWS, 3 * PLANNED, loading=0, left=0),
        ),
        (
            "onnx",
            "int8",
            "streamed",
            StageMemory(
                runtime=RUNTIME,
                weights=3000 + ROWS,
                activations=3 * PLANNED,
                loading=2000 + (FIRST + SECOND + 4 * BIASES) // 2 - 3000,
                left=0,
                let_go=11,
            ),
        ),
        (
            "tflite",
            "fp16",
            "mapped",
            # LiteRT has the table in its file and, unpacked, in memory, however it loads the rest.
            StageMemory(RUNTIME, (2 + 4) * TABLE + 4 * (FIRST + SECOND + BIASES), 2 * PLANNED, loading=0, left=0),
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_stage_is_the_sum_of_its_parts(
    target: TargetName, recipe: str, weights: WeightsMode, expected: StageMemory, layers: Network
) -> None:
    assert predict_stage(layers, Load(target, RECIPES[recipe], weights)) == expected


def test_streaming_holds_no_more_than_there_is(layers: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    ample = Streamed(window=10 * SECOND, loading=10 * SECOND, loading_share=0.5, code=0)
    engine = Engine(**{name: getattr(ENGINE, name) for name in ENGINE.__struct_fields__} | {"streamed": ample})
    monkeypatch.setattr(predict, "engine_of", lambda target: engine)
    found = predict_stage(layers, Load("onnx", RECIPES["int8"], "streamed"))
    assert (found.weights, found.loading) == (FIRST + SECOND + 4 * BIASES + ROWS, 0)


@pytest.mark.usefixtures("layers")
def test_a_network_of_convolutions_has_a_ratio_of_its_own() -> None:
    convolutions = network(nn.Conv2d(3, 8, 3), TensorSpec(name="x", shape=(1, 3, 16, 16), dtype="float32"))
    for recipe in ("fp32", "int8"):
        assert predict_stage(convolutions, Load("onnx", RECIPES[recipe])).activations == 5 * PLANNED


@pytest.mark.parametrize(("weights", "kept"), [("packed", 12), ("mapped", 12), ("streamed", 10)])
def test_streaming_lets_go_of_what_a_stage_leaves(weights: WeightsMode, kept: int, layers: Network) -> None:
    load = Load("onnx", RECIPES["int8"], weights)
    found = predict_pipeline([layers], load)
    assert (found.process, found.kept, found.library) == (100, kept, 10)
    assert found.stages == {"text_encoder": predict_stage(layers, load)}

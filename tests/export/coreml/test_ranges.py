"""The float16 scan names what float16 cannot hold, and the ops at it stay float32 in the saved program."""

from pathlib import Path

import numpy as np
import pytest
import torch
from coremltools.converters.mil.frontend.milproto.load import load as load_milproto
from coremltools.converters.mil.mil import Operation, types
from torch import Tensor, nn

from lira_export.components import Component
from lira_export.coreml.convert import converted, exported
from lira_export.coreml.library import ct, quiet
from lira_export.coreml.ranges import Beyond, Float32Ops, RangeScan
from lira_runtime.interface import TensorSpec

LATENT = TensorSpec(name="latent", shape=(1, 4), dtype="float32")
IMAGE = TensorSpec(name="image", shape=(1, 4), dtype="float32")
INPUT = np.array([[-2.0, -1.0, 0.5, 1.5]], np.float32)


class Large(nn.Module):
    """300 x 300 |latent| reaches 180000; no factor alone is beyond float16."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(torch.relu(latent * 300.0 * 300.0) / 300.0 / 300.0)


class Small(nn.Module):
    """latent / 1e6 never reaches 6.1e-5."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(latent * 1e-3 * 1e-3) * 2.0


class Harmless(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(torch.relu(latent * 30.0) / 9.0)


class LargePart(nn.Module):
    """Only the second half is large; halves are items of one op's tuple."""

    def forward(self, latent: Tensor) -> Tensor:
        low, high = (latent * torch.tensor([1.0, 1.0, 6e4, 6e4])).chunk(2, dim=1)
        return torch.cat([low, high / 6e4], dim=1)


class LargeBuffer(nn.Module):
    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor([0.0, 1e6, -2e6, 3.0]))

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(latent + self.table)


class LargeFactor(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return torch.relu(latent * 1e-4 * 1e5)


def scanned(module: nn.Module) -> tuple[Component, RangeScan, torch.export.ExportedProgram]:
    component = Component("denoiser", module, module.eval(), (LATENT,), (IMAGE,))
    program = exported(component)
    scan = RangeScan(program, ["latent"])
    scan.run({"latent": INPUT})
    return component, scan, program


def saved_operations(module: nn.Module, folder: Path) -> tuple[list[Operation], Float32Ops]:
    """Ops of the float16 package on disk."""
    component, scan, program = scanned(module)
    half = Float32Ops(scan.beyond())
    path = str(folder / "saved.mlpackage")
    with quiet():
        converted(program, component, 17, half).save(path)
    spec = ct.utils.load_spec(path)
    weights = path + "/Data/com.apple.CoreML/weights"
    saved = load_milproto(spec, specification_version=spec.specificationVersion, file_weights_dir=weights)
    return list(saved.functions["main"].operations), half


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (Large(), {"mul_1", "relu"}),
        (Small(), {"mul_1"}),
        (Harmless(), set()),
        (LargePart(), {"mul", "getitem_1"}),
        (LargeBuffer(), {"b_table", "add"}),
        (LargeFactor(), {"a factor of mul_1"}),
    ],
)
def test_what_float16_cannot_hold_is_named(module: nn.Module, names: set[str]) -> None:
    _, scan, _ = scanned(module)
    assert {each.name for each in scan.beyond()} == names


def test_the_largest_of_all_inputs_counts() -> None:
    _, scan, _ = scanned(Harmless())
    scan.run({"latent": INPUT * 1e4})
    assert [(each.name, round(each.largest)) for each in scan.beyond()] == [("mul", 600_000), ("relu", 450_000)]


def test_ops_that_make_or_read_it_stay_float32_and_others_do_not(tmp_path: Path) -> None:
    operations, half = saved_operations(Large(), tmp_path)
    dtypes = {op.op_type: op.outputs[0].dtype for op in operations if op.op_type in ("mul", "relu", "sigmoid")}
    products = [op.outputs[0].dtype for op in operations if op.op_type == "mul"]
    assert types.fp32 in products and dtypes["relu"] == types.fp32
    assert dtypes["sigmoid"] == types.fp16
    assert half.lost() == []


def test_a_tensor_of_which_no_op_is_left_is_said_to_be_lost(tmp_path: Path) -> None:
    fused = Beyond("mul_9", 1e6, frozenset({"mul_9", "add_9"}))
    half = Float32Ops([fused])
    component, _, program = scanned(Harmless())
    with quiet():
        converted(program, component, 17, half)
    assert half.lost() == [fused]


@pytest.mark.parametrize("module", [Small(), LargePart(), LargeBuffer()])
def test_every_tensor_beyond_float16_has_a_float32_op(module: nn.Module, tmp_path: Path) -> None:
    operations, half = saved_operations(module, tmp_path)
    computed = [op for op in operations if op.op_type not in ("const", "cast")]
    assert half.lost() == []
    assert any(op.outputs[0].dtype == types.fp32 for op in computed)


def test_a_harmless_program_is_float16_throughout(tmp_path: Path) -> None:
    operations, half = saved_operations(Harmless(), tmp_path)
    computed = [op.outputs[0].dtype for op in operations if op.op_type not in ("const", "cast")]
    assert computed and set(computed) == {types.fp16}
    assert half.kept == set()


def test_products_are_known_by_their_weights_with_the_range_of_what_they_multiply() -> None:
    module = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
    _, scan, _ = scanned(module)
    scan.run({"latent": INPUT * 2})
    assert scan.product_inputs() == {"1.weight": (0.0, 3.0)}

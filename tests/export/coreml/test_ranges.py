"""The float16 scan names what float16 cannot hold, and the ops at it stay float32 in the saved program."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import Function, types
from torch import Tensor, nn
from torch.export import ExportedProgram

from lira_export.components import Component
from lira_export.coreml.convert import converted, exported
from lira_export.coreml.interpret import Program, read_function
from lira_export.coreml.library import quiet
from lira_export.coreml.ranges import Float32Ops, RangeScan
from lira_runtime.interface import TensorSpec

LATENT = TensorSpec(name="latent", shape=(1, 4), dtype="float32")
IMAGE = TensorSpec(name="image", shape=(1, 4), dtype="float32")
INPUT = np.array([[-2.0, -1.0, 0.5, 1.5]], np.float32)


class Large(nn.Module):
    """300 x 300 |latent| reaches 180000; no factor alone is beyond float16."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(torch.relu(latent * 300.0 * 300.0) / 300.0 / 300.0)


class Small(nn.Module):
    """latent / 1e6 never reaches 6.1e-5; float16 rounds it to some 1 % of it."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(latent * 1e-3 * 1e-3 * 1e3 * 1e3)


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


class LargeDivisor(nn.Module):
    """20000 is no problem; 1 / 20000, by which coremltools multiplies, is."""

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(latent * 2e4 / 20000)


class SmallDivisor(nn.Module):
    """For -2, the only one below -1.5, the divisor is 1e-6, and what it divides is 3e-6."""

    def forward(self, latent: Tensor) -> Tensor:
        x = torch.relu(latent + 1.5)
        return (x + 3e-6) / (x + 1e-6)


class LargeItem(nn.Module):
    """The norm's op gives a tuple, whose first item reaches 80000."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)
        nn.init.constant_(self.norm.weight, 4e4)

    def forward(self, latent: Tensor) -> Tensor:
        return torch.sigmoid(self.norm(latent[..., None, None]) * 0.01 * 0.003)[..., 0, 0]


class Fused(nn.Module):
    """Only what the convolution itself gives is beyond float16; coremltools makes it, its scale and its bias one op."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", 4e4 * torch.eye(4)[..., None, None])
        self.register_buffer("bias", torch.tensor([2e4, 1e4, 0.0, -1e4])[:, None, None])

    def forward(self, latent: Tensor) -> Tensor:
        image = nn.functional.conv2d(latent[..., None, None], self.weight)
        return torch.relu(image * 0.5 + self.bias)[..., 0, 0]


def scanned(module: nn.Module) -> tuple[Component, RangeScan, ExportedProgram]:
    component = Component("denoiser", module, module.eval(), (LATENT,), (IMAGE,))
    program = exported(component)
    scan = RangeScan(program, ["latent"])
    scan.run({"latent": INPUT})
    return component, scan, program


@dataclass(frozen=True)
class Written:
    """A toy's float16 package, and what its scan found."""

    module: nn.Module
    beyond: set[str]
    package: Path

    def dtypes(self) -> dict[str, set[type]]:
        """What the package's ops compute in, by kind."""
        found: dict[str, set[type]] = {}
        for op in read_function(self.package, "main").operations:
            if op.op_type not in ("const", "cast"):
                found.setdefault(op.op_type, set()).add(op.outputs[0].dtype)
        return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type[nn.Module]], Written]:
    @cache
    def write(kind: type[nn.Module]) -> Written:
        component, scan, program = scanned(kind())
        package = tmp_path_factory.mktemp(kind.__name__) / "toy.mlpackage"
        with quiet():
            converted(program, component, 17, Float32Ops(scan.beyond())).save(str(package))
        return Written(component.eager, {each.name for each in scan.beyond()}, package)

    return write


Write = Callable[[type[nn.Module]], Written]
BEYOND: dict[type[nn.Module], set[str]] = {
    Large: {"mul_1", "relu"},
    Small: {"mul_1"},
    Harmless: set(),
    LargePart: {"mul", "getitem_1", "a factor of div"},
    LargeBuffer: {"b_table", "add"},
    LargeFactor: {"a factor of mul_1"},
    LargeDivisor: {"a factor of div"},
    SmallDivisor: {"a factor of add_1", "a factor of add_2", "add_2 as a divisor"},
    LargeItem: {"getitem"},
    Fused: {"conv2d"},
}


@pytest.mark.parametrize("kind", BEYOND)
def test_what_float16_cannot_hold_is_named_and_the_float16_package_is_eager(
    kind: type[nn.Module], written: Write
) -> None:
    toy = written(kind)
    assert toy.beyond == BEYOND[kind]
    found = Program.load(toy.package).run({"latent": INPUT})["image"]
    expected = toy.module(torch.from_numpy(INPUT)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=2.0**-9, atol=0)  # a few roundings to float16


def test_the_largest_of_all_inputs_counts() -> None:
    _, scan, _ = scanned(Harmless())
    scan.run({"latent": INPUT * 1e4})
    assert [(each.name, round(each.magnitude)) for each in scan.beyond()] == [("mul", 600_000), ("relu", 450_000)]


def test_ops_that_make_or_read_it_stay_float32_and_others_do_not(written: Write) -> None:
    found = written(Large).dtypes()
    assert found == {"mul": {types.fp16, types.fp32}, "relu": {types.fp32}, "sigmoid": {types.fp16}}


def test_an_op_that_is_fused_of_those_at_it_stays_float32(written: Write) -> None:
    found = written(Fused).dtypes()
    assert (found["conv"], found["relu"]) == ({types.fp32}, {types.fp16})
    assert not found.keys() & {"mul", "add"}


def test_a_harmless_program_is_float16_throughout(written: Write) -> None:
    assert set().union(*written(Harmless).dtypes().values()) == {types.fp16}


def test_an_op_of_unknown_origin_stays_float32_where_anything_does() -> None:
    with Function({"x": Builder.placeholder((2,))}) as function:
        op = Builder.relu(x=function.inputs["x"]).op
    _, scan, _ = scanned(Large())
    assert not Float32Ops(scan.beyond())(op)
    assert Float32Ops([])(op)


def test_products_are_known_by_their_weights_with_the_range_of_what_they_multiply() -> None:
    module = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
    _, scan, _ = scanned(module)
    scan.run({"latent": INPUT * 2})
    assert scan.product_inputs() == {"1.weight": (0.0, 3.0)}

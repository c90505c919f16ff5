"""What is converted has the contract's names, dtypes and numbers, and says nothing on the terminal."""

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from torch import Tensor, nn
from torch.export import ExportedProgram

from lira_export.components import Component
from lira_export.coreml.convert import converted, exported, weight_paths
from lira_export.coreml.interpret import Program
from lira_export.coreml.library import ct, quiet
from lira_runtime.interface import TensorSpec

LATENT = TensorSpec(name="latent", shape=(1, 4, 6), dtype="float32")
IDS = TensorSpec(name="input_ids", shape=(1, 3), dtype="int32")
VELOCITY = TensorSpec(name="velocity", shape=(1, 4, 6), dtype="float32")
STEPS = TensorSpec(name="reasoning_steps", shape=(1,), dtype="int32")


class Toy(nn.Module):
    """A norm with affine part, one-sided clamps, a table, and a slice of everything, which aten calls alias."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.LayerNorm(6)
        self.norm.weight.data.uniform_(0.5, 2)
        self.norm.bias.data.uniform_(-1, 1)
        self.table = nn.Embedding(9, 6)

    def forward(self, any_name: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(any_name)[:, 0:4] + self.table(ids).sum(1, keepdim=True)
        x = torch.clamp(torch.clamp(x, max=1.25), min=-0.75)
        return x, torch.clamp(x.sum(dim=(1, 2)), 2, 2).to(torch.int32)


@pytest.fixture(scope="module")
def component() -> Component:
    module = Toy().eval()
    return Component("denoiser", module, module, (LATENT, IDS), (VELOCITY, STEPS))


@pytest.fixture(scope="module")
def program(component: Component) -> ExportedProgram:
    return exported(component)


@pytest.mark.parametrize(("half", "most"), [(False, 1e-6), (True, 4e-3)])
def test_names_dtypes_and_numbers(
    component: Component, program: ExportedProgram, half: bool, most: float, tmp_path: Path
) -> None:
    with quiet():
        model = converted(program, component, 17, (lambda op: True) if half else None)
        model.save(str(tmp_path / "toy.mlpackage"))
    kinds = ct.proto.FeatureTypes_pb2.ArrayFeatureType
    given = {each.name: each.type.multiArrayType for each in model.get_spec().description.input}
    gained = {each.name: each.type.multiArrayType for each in model.get_spec().description.output}
    assert {name: (tuple(each.shape), each.dataType) for name, each in given.items()} == {
        "latent": ((1, 4, 6), kinds.FLOAT32),
        "input_ids": ((1, 3), kinds.INT32),
    }
    assert {name: each.dataType for name, each in gained.items()} == {
        "velocity": kinds.FLOAT32,
        "reasoning_steps": kinds.INT32,
    }
    latent = np.random.default_rng(0).normal(size=(1, 4, 6)).astype(np.float32)
    ids = np.array([[0, 8, 3]], np.int32)
    found = Program.load(tmp_path / "toy.mlpackage").run({"latent": latent, "input_ids": ids})
    with torch.inference_mode():
        velocity, _ = component.eager(torch.from_numpy(latent), torch.from_numpy(ids))
    assert np.abs(found["velocity"] - velocity.numpy()).max() <= most
    assert found["velocity"].min() == -0.75 and found["velocity"].max() == 1.25
    assert found["reasoning_steps"].tolist() == [2]


def test_no_constant_becomes_infinite_in_float16(component: Component, program: ExportedProgram) -> None:
    model = converted(program, component, 17, lambda op: True)
    constants = [op.outputs[0].val for op in model._mil_program.functions["main"].operations if op.op_type == "const"]
    numbers = [np.asarray(value) for value in constants if np.asarray(value).dtype.kind == "f"]
    assert numbers and all(np.isfinite(value).all() for value in numbers)


def test_nothing_is_said_on_the_terminal(component: Component, capfd: pytest.CaptureFixture[str]) -> None:
    converted(exported(component), component, 17, None)
    assert capfd.readouterr() == ("", "")


class Shifted(nn.Module):
    """A convolution, less a buffer: coremltools makes the buffer, negated in its place, the bias."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1, bias=False)
        self.register_buffer("shift", torch.tensor([1.0, 2, 3, 4])[:, None, None])

    def forward(self, latent: Tensor) -> Tensor:
        return self.conv(latent) - self.shift


def test_the_eager_modules_weights_stay_what_they_were() -> None:
    image = TensorSpec(name="latent", shape=(1, 4, 2, 2), dtype="float32")
    module = Shifted().eval()
    component = Component("image_encoder", module, module, (image,), (replace(image, name="image"),))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    converted(exported(component), component, 17, None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("half", [False, True])
def test_weights_are_known_by_their_modules_path(component: Component, program: ExportedProgram, half: bool) -> None:
    model = converted(program, component, 17, (lambda op: True) if half else None)
    tables = [op for op in model._mil_program.functions["main"].operations if op.op_type == "gather"]
    assert [weight_paths(program)[op.inputs["x"].op.name] for op in tables] == ["table.weight"]


@pytest.mark.parametrize(("ios", "version"), [(16, 7), (17, 8), (18, 9)])
def test_the_package_asks_for_its_ios(component: Component, program: ExportedProgram, ios: int, version: int) -> None:
    assert converted(program, component, ios, None).get_spec().specificationVersion == version

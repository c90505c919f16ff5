"""The interpreter on whole packages, against the modules that they were converted from."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import types
from torch import Tensor, nn

from lira.model import wake_zero_weights
from lira.presets import get_preset
from lira.sources import Models, Request, load_models
from lira_export.components import Component, build_components
from lira_export.coreml.interpret import OpFailed, Program, coverage, main
from lira_export.coreml.ops import RULES
from lira_export.coreml.ops.rule import Rule
from lira_export.rewrite.denoiser import TraceableBlock
from lira_export.rewrite.streams import plan_streams
from lira_runtime.errors import DamagedBundle

Save = Callable[[ct.models.MLModel], Path]


class Small(nn.Module):
    """Something of everything: a convolution, a norm, a product of activations, a split, an upsampling."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = nn.Conv2d(4, 16, 3, padding=1)
        self.norm = nn.LayerNorm(16)
        self.fc = nn.Linear(16, 64)
        self.out = nn.Conv2d(32, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.conv(x).flatten(2).transpose(1, 2))
        a, b = self.fc(tokens).chunk(2, dim=-1)
        mixed = torch.softmax(a @ b.transpose(1, 2) / 8, dim=-1) @ nn.functional.silu(b)
        image = mixed.transpose(1, 2).reshape(1, 32, *x.shape[2:])
        return nn.functional.pixel_shuffle(self.out(nn.functional.gelu(image)), 2)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def package(convert: Any, image: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`Small` in float32; to be read only."""
    path = tmp_path_factory.mktemp("small") / "model.mlpackage"
    convert(Small(), (image,)).save(str(path))
    return path


@pytest.fixture
def spoiled(package: Path, tmp_path: Path) -> Path:
    """A copy of it to write into."""
    return Path(shutil.copytree(package, tmp_path / "model.mlpackage"))


def relative_error(found: np.ndarray[Any, Any], reference: Tensor) -> float:
    expected = reference.double().numpy()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_a_float32_package_is_the_eager_module(package: Path, image: Tensor) -> None:
    program = Program.load(package)
    assert program.inputs == {"x0": ((1, 4, 8, 8), "float32")}
    assert program.outputs == {"y0": ((1, 3, 16, 16), "float32")}
    with torch.no_grad():
        assert relative_error(program.run({"x0": image.numpy()})["y0"], Small()(image)) < 1e-5


def test_a_float16_package_is_the_eager_module_to_float16_rounding(convert: Any, save: Save, image: Tensor) -> None:
    module = Small()
    program = Program.load(save(convert(module, (image,), half=True)))
    with torch.no_grad():
        error = relative_error(program.run({"x0": image.numpy()})["y0"], module(image))
    assert 1e-5 < error < 4e-3  # rounded indeed, a few times 2^-11


def test_ops_are_counted_as_the_file_has_them(package: Path) -> None:
    counts = Program.load(package).op_counts()
    assert (counts["conv"], counts["linear"], counts["matmul"], counts["softmax"]) == (2, 1, 2, 1)
    assert "const" not in counts


def test_a_weight_changed_in_the_file_changes_the_result(spoiled: Path, image: Tensor) -> None:
    module = Small()
    before = Program.load(spoiled).run({"x0": image.numpy()})["y0"]
    blob = spoiled / "Data/com.apple.CoreML/weights/weight.bin"
    weight = module.fc.weight[5, 3].item()
    stored = blob.read_bytes()
    place = stored.index(module.fc.weight.detach().numpy().tobytes()) + 4 * (5 * 16 + 3)
    blob.write_bytes(stored[:place] + struct.pack("<f", weight + 1) + stored[place + 4 :])
    after = Program.load(spoiled).run({"x0": image.numpy()})["y0"]
    with torch.no_grad():
        module.fc.weight[5, 3] += 1
        assert relative_error(after, module(image)) < 1e-5
    assert np.abs(after - before).max() > 1e-3


def test_an_unknown_op_is_named_when_the_package_is_loaded(save: Save) -> None:
    @Builder.program(input_specs=[Builder.TensorSpec((1, 4, 8, 8), types.fp32)], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        return Builder.local_response_norm(x=x, size=3, name="culprit")

    target, precision = ct.target.iOS17, ct.precision.FLOAT32
    model = ct.convert(program, minimum_deployment_target=target, compute_precision=precision, skip_model_load=True)
    with pytest.raises(OpFailed, match="op local_response_norm 'culprit' is not implemented"):
        Program.load(save(model))


@pytest.mark.parametrize(
    ("kernel", "complaint"),
    [
        (lambda x: x[:1], r"relu 'culprit' gives the shape \(1, 3\) where the file declares \(2, 3\)"),
        (lambda x: x > 0, r"relu 'culprit' gives torch.bool where the file declares torch.float32"),
        (lambda x: x.reshape(7), r"relu 'culprit' failed: shape"),
    ],
)
def test_a_result_that_is_not_as_declared_is_named(
    kernel: Any, complaint: str, monkeypatch: pytest.MonkeyPatch, interpreted: Any, operands: Any
) -> None:
    monkeypatch.setitem(RULES, "relu", Rule(("x",), lambda op: kernel))  # type: ignore[arg-type]
    with pytest.raises(OpFailed, match=complaint):
        interpreted(lambda x: Builder.relu(x=x, name="culprit"), operands(((2, 3),), "float32"))


def test_inputs_of_another_name_shape_or_dtype_are_refused(package: Path, image: Tensor) -> None:
    program = Program.load(package)
    for wrong in ({"x": image.numpy()}, {"x0": image.numpy()[:, :2]}, {"x0": image.double().numpy()}):
        with pytest.raises(ValueError, match="x0"):
            program.run(wrong)


def test_a_package_that_cannot_be_read_is_damaged(spoiled: Path, tmp_path: Path) -> None:
    with pytest.raises(DamagedBundle, match="missing.mlpackage cannot be loaded"):
        Program.load(tmp_path / "missing.mlpackage")
    with pytest.raises(DamagedBundle, match="has no function 'other', but main"):
        Program.load(spoiled, "other")
    (spoiled / "Data/com.apple.CoreML/weights/weight.bin").write_bytes(b"short")
    with pytest.raises(DamagedBundle, match="cannot be loaded"):
        Program.load(spoiled)


def test_coverage_is_listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    by_torch, by_inference = coverage()
    assert "conv" in by_torch and "cumsum" in by_inference
    assert not set(by_torch) & set(by_inference)
    assert not {"local_response_norm", "lstm", "while_loop", "cond", "random_normal"} & {*by_torch, *by_inference}
    monkeypatch.setattr("sys.argv", ["interpret", "--coverage"])
    with pytest.raises(SystemExit, match="0"):
        main()
    listed = capsys.readouterr().out
    assert f"By PyTorch ({len(by_torch)}): abs, " in listed
    assert "Every other op is an error" in listed


def assert_denoiser_is_eager(component: Component, convert: Any, save: Save) -> None:
    """Its float32 package by the interpreter, at two times."""
    generator = torch.Generator().manual_seed(0)
    latent, text = (torch.randn(component.inputs[i].shape, generator=generator) for i in (0, 2))
    program = Program.load(save(convert(component.traceable, component.example(), outputs=2)))
    for time in (0.95, 0.4):
        x = (latent, torch.tensor([time]), text)
        found = program.run({f"x{i}": value.numpy() for i, value in enumerate(x)})
        with torch.no_grad():
            velocity, info = component.eager(*x)
        assert relative_error(found["y0"], velocity) < 1e-5
        assert found["y1"] == info["total_steps"]


def test_a_denoiser_is_the_eager_model(mite_models: Models, convert: Any, save: Save) -> None:
    (component,) = build_components(mite_models, mite_models.resolution, ("denoiser",), segment_sums=True)
    assert_denoiser_is_eager(component, convert, save)


@pytest.mark.slow
def test_the_demo_denoiser_is_the_eager_model(convert: Any, save: Save) -> None:
    models = load_models(Request("nano"))
    (component,) = build_components(models, models.resolution, ("denoiser",))
    assert_denoiser_is_eager(component, convert, save)


class WideBlock(nn.Module):
    """The last block of `small`, with connections and gates that are not those of its initialisation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        preset = get_preset("small")
        self.block = TraceableBlock(preset, preset.blocks - 1, 768, segment_sums=False)
        wake_zero_weights(self.block)
        with torch.no_grad():
            assert self.block.skip is not None
            self.block.skip.normal_(std=0.3)
            for connection in self.block.connections():
                connection.matrix.add_(0.15 * torch.randn(3, 3))
        matrices = [connection.matrix.detach().double().numpy() for connection in self.block.connections()]
        self.updates = plan_streams(matrices).updates

    def forward(self, r: Tensor, q: Tensor, skipped: Tensor, cond: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        return self.block(r, q, skipped, cond, text, self.updates)


def test_a_full_width_block_of_small_is_the_eager_block(convert: Any, save: Save) -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = (*[(1, 32, 32, 512)] * 3, (1, 1024), (1, 77, 768))
    x = tuple(torch.randn(shape, generator=generator) for shape in shapes)
    block = WideBlock().requires_grad_(False)
    program = Program.load(save(convert(block, x, outputs=2)))
    found = program.run({f"x{i}": value.numpy() for i, value in enumerate(x)})
    expected = block.double()(*(value.double() for value in x))
    for name, reference in zip(("y0", "y1"), expected, strict=True):
        assert relative_error(found[name], reference) < 1e-3


def test_functions_of_one_package_are_loaded_by_name(convert: Any, tmp_path: Path) -> None:
    module = Small().requires_grad_(False)
    images = {f"px{side}": torch.randn(1, 4, side, side) for side in (4, 8)}
    description = ct.utils.MultiFunctionDescriptor()
    for name, image in images.items():
        convert(module, (image,), ios=18).save(str(tmp_path / f"{name}.mlpackage"))
        description.add_function(str(tmp_path / f"{name}.mlpackage"), "main", name)
    description.default_function_name = "px4"
    ct.utils.save_multifunction(description, str(tmp_path / "both.mlpackage"))
    for name, image in images.items():
        found = Program.load(tmp_path / "both.mlpackage", name).run({"x0": image.numpy()})["y0"]
        assert relative_error(found, module(image)) < 1e-5

"""The Mix-FFN whose hidden layer stays in 8 bits, and the calibration that fixes its scales."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lira.layers import MixFFN
from lira.presets import get_preset
from lira.sources import Models
from lira_export.calibration import LEAST_RANGE, HiddenRange, hidden_ranges
from lira_export.onnx.quantize import quantize
from lira_export.passes import run_passes
from lira_export.recipes import Recipe

INT8 = Recipe("test", "int8", {}, 0)


class Owner(nn.Module):
    """Gives the Mix-FFN the path "ffn"."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.ffn = MixFFN(get_preset("nano"))

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        return self.ffn(u)


def graph_of(owner: Owner, u: torch.Tensor) -> ir.Model:
    program = torch.onnx.export(owner.eval(), (u,), dynamo=True, opset_version=20, optimize=False, verbose=False)
    assert program is not None
    program.model.ir_version = 10
    return run_passes(program.model)


@torch.no_grad()
def true_range(ffn: MixFFN, u: torch.Tensor) -> HiddenRange:
    hidden = ffn.fc1(u)
    activated = torch.relu(ffn.conv(hidden.permute(0, 3, 1, 2)))
    return HiddenRange(hidden.abs().amax((0, 1, 2)).numpy(), float(activated.max()))


def run(model: ir.Model, u: torch.Tensor) -> np.ndarray:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: u.numpy()})[0]


def decibels(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(wanted**2) / np.mean((found - wanted) ** 2)))


def test_it_is_close_to_eager_and_hardly_behind_dynamic_scales() -> None:
    owner, u = Owner(), torch.randn(1, 6, 9, 192)
    wanted = owner(u).detach().numpy()
    static = run(quantize(graph_of(owner, u), "denoiser", INT8, {"ffn": true_range(owner.ffn, u)}), u)
    dynamic = run(quantize(graph_of(owner, u), "denoiser", INT8), u)
    assert decibels(static, wanted) >= 30
    assert decibels(static, wanted) >= decibels(dynamic, wanted) - 6


def test_a_channel_a_thousand_times_wider_does_not_blind_the_others() -> None:
    owner, u = Owner(), torch.randn(1, 6, 9, 192)
    with torch.no_grad():
        owner.ffn.fc1.weight[5] *= 1000
        owner.ffn.conv.weight[5] /= 1000
    wanted = owner(u).detach().numpy()
    found = run(quantize(graph_of(owner, u), "denoiser", INT8, {"ffn": true_range(owner.ffn, u)}), u)
    assert decibels(found, wanted) >= 30


def test_a_channel_without_weights_still_gives_its_bias() -> None:
    owner, u = Owner(), torch.randn(1, 6, 9, 192)
    with torch.no_grad():
        owner.ffn.conv.weight[7] = 0.0
        owner.ffn.conv.bias[7] = 3.0
    wanted = owner(u).detach().numpy()
    found = run(quantize(graph_of(owner, u), "denoiser", INT8, {"ffn": true_range(owner.ffn, u)}), u)
    assert decibels(found, wanted) >= 30


def test_values_beyond_the_range_are_cut_off_and_not_wrapped() -> None:
    owner, u = Owner(), torch.randn(1, 6, 9, 192)
    ranges = {"ffn": true_range(owner.ffn, u)}
    found = run(quantize(graph_of(owner, u), "denoiser", INT8, ranges), 4 * u)
    wanted = owner(4 * u).detach().numpy()
    assert np.corrcoef(found.flatten(), wanted.flatten())[0, 1] > 0.8


@pytest.mark.parametrize("part", ["fc1", "conv", "fc2"])
def test_a_recipe_that_keeps_a_part_of_it_in_float_keeps_the_hidden_layer_so(part: str) -> None:
    owner, u = Owner(), torch.randn(1, 6, 9, 192)
    recipe = replace(INT8, keep_float={"denoiser": (f"ffn.{part}",)})
    model = quantize(graph_of(owner, u), "denoiser", recipe, {"ffn": true_range(owner.ffn, u)})
    operations = Counter(node.op_type for node in model.graph)
    assert operations["QLinearConv"] == 0 and operations["Conv"] == 1
    assert operations["MatMul"] == (0 if part == "conv" else 1)


def test_the_hidden_layer_is_never_float_in_the_file(bundle_folder: Path, small_models: Models) -> None:
    graph = onnx.load(bundle_folder / "denoiser.onnx", load_external_data=False).graph
    operations = Counter(node.op_type for node in graph.node)
    blocks = small_models.denoiser.preset.blocks
    assert operations["QLinearMatMul"] == operations["QLinearConv"] == blocks
    relus = [node.name for node in graph.node if node.op_type == "Relu"]
    assert all(name.startswith("reasoning") for name in relus), "the halting test has some, no hidden layer"


def test_another_graph_around_the_convolution_is_refused() -> None:
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "ffn.conv.weight"], ["y"], group=8, pads=[1, 1, 1, 1])],
        "bare",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 8, 4, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 4, 4])],
        [onnx.numpy_helper.from_array(np.ones((8, 1, 3, 3), np.float32), "ffn.conv.weight")],
    )
    model = ir.from_proto(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    )
    with pytest.raises(RuntimeError, match="not inside a Mix-FFN"):
        quantize(model, "denoiser", INT8, {"ffn": HiddenRange(np.ones(8, np.float32), 1.0)})


@torch.inference_mode()
def test_calibration_sees_the_largest_values_of_every_hidden_layer(small_models: Models) -> None:
    layers = {n: m for n, m in small_models.denoiser.named_modules() if isinstance(m, MixFFN)}
    expanded: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
    activated: dict[str, list[float]] = {name: [] for name in layers}
    hooks: list[RemovableHandle] = []

    def watch(name: str) -> None:
        def after_fc1(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            expanded[name].append(output.abs().flatten(0, -2).amax(0))

        def before_fc2(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            activated[name].append(float(inputs[0].max()))

        hooks.append(layers[name].fc1.register_forward_hook(after_fc1))
        hooks.append(layers[name].fc2.register_forward_hook(before_fc2))

    for name in layers:
        watch(name)
    found = hidden_ranges(small_models)
    for hook in hooks:
        hook.remove()
    assert set(found) == set(layers) and len(found) == small_models.denoiser.preset.blocks
    for name, value in found.items():
        assert value.activated == pytest.approx(max(activated[name]))
        steps = torch.stack(expanded[name])
        np.testing.assert_allclose(value.expanded, steps.amax(0).numpy().clip(LEAST_RANGE), rtol=1e-6)
        assert (steps[-1] < steps.amax(0)).any() and (steps[0] < steps.amax(0)).any(), "one step saw it all"
    assert not any(layer.fc1._forward_hooks or layer.conv._forward_hooks for layer in layers.values())

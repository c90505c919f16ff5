"""What int8 makes of a trace, against the graph that the exporter writes."""

from collections import Counter
from pathlib import Path

from lira.layers import MixFFN
from lira.sources import Models
from lira_export.components import Component, build_components
from lira_export.memory.network import Network
from lira_export.memory.onnx_lowering import lowered
from lira_export.memory.trace import Trace
from lira_export.onnx.inventory import read_inventory
from lira_export.recipes import RECIPES

SIDE = 64


def as_int8(models: Models, name: str) -> tuple[Component, Trace]:
    (component,) = build_components(models, SIDE, (name,))
    recipe, trace = RECIPES["int8"], Network.of(component, SIDE).trace
    hidden = {path for path, module in component.traceable.named_modules() if isinstance(module, MixFFN)}
    quantized = lambda path: not recipe.keeps_float(name, path)  # noqa: E731
    return component, lowered(trace, quantized, hidden, by_token=name == "text_encoder")


def test_the_denoiser_has_the_quantizations_of_the_exported_graph(small_models: Models, bundle_folder: Path) -> None:
    component, found = as_int8(small_models, "denoiser")
    exported = read_inventory(bundle_folder / "denoiser.onnx").ops
    in_bytes = Counter(op.kind for op in found.ops for value in op.writes if value.itemsize == 1)
    blocks = component.traceable.preset.blocks  # type: ignore[union-attr]
    assert in_bytes["quantize"] == exported["DynamicQuantizeLinear"] > 0
    assert in_bytes["linear"] == exported["QLinearMatMul"] == blocks
    assert in_bytes["conv2d"] == exported["QLinearConv"] == blocks


def test_the_text_encoder_is_quantized_row_by_row(small_models: Models, bundle_folder: Path) -> None:
    _, found = as_int8(small_models, "text_encoder")
    exported = read_inventory(bundle_folder / "text_encoder.onnx").ops
    kinds = Counter(op.kind for op in found.ops)
    assert kinds["quantize"] == exported["Clip"] > 0, "one a row-wise quantization"
    assert kinds["linear"] == exported["MatMulInteger"]
    assert kinds["round"] == exported["Round"]


def test_every_tensor_is_written_before_it_is_read_and_outputs_are_kept(small_models: Models) -> None:
    for name in ("text_encoder", "denoiser"):
        _, found = as_int8(small_models, name)
        written = {value.name for value in found.inputs}
        for op in found.ops:
            assert written >= set(op.reads)
            assert not written & {value.name for value in op.writes}
            written |= {value.name for value in op.writes}
        assert written >= set(found.outputs)

"""Recipes: the file holds the bits that the recipe says, and what they stand for is within the closed form's error."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from coremltools._deps import kmeans1d
from coremltools.optimize.coreml import decompress_weights
from torch import Tensor, nn

from lira_export.components import Component
from lira_export.coreml.activations import quantize_activations
from lira_export.coreml.convert import converted, exported, weight_paths
from lira_export.coreml.interpret import Program
from lira_export.coreml.inventory import read_inventory
from lira_export.coreml.library import MLModel, quiet
from lira_export.coreml.palette import palette
from lira_export.coreml.quantize import SENSITIVE, quantize
from lira_export.coreml.ranges import RangeScan
from lira_export.recipes import INT4, INT6, INT8, MIXED, W8A8, Recipe
from lira_runtime.interface import TensorSpec

WIDTH, HIDDEN, WORDS = 64, 96, 50
LATENT = TensorSpec(name="latent", shape=(1, 5, WIDTH), dtype="float32")
IDS = TensorSpec(name="input_ids", shape=(1, 5), dtype="int32")
VELOCITY = TensorSpec(name="velocity", shape=(1, 5, WIDTH), dtype="float32")
MATRIX, TABLE, CONV, GROUPED = HIDDEN * WIDTH, WORDS * WIDTH, 3 * WIDTH * WIDTH, 3 * WIDTH


class Toy(nn.Module):
    """Names as the denoiser has them: `final_proj` stays float, `blocks.0.ffn.fc1` is sensitive, `small` is small."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        ffn = nn.ModuleDict({"fc1": nn.Linear(WIDTH, HIDDEN), "fc2": nn.Linear(HIDDEN, WIDTH)})
        self.blocks = nn.ModuleList([nn.ModuleDict({"ffn": ffn})])
        self.table = nn.Embedding(WORDS, WIDTH)
        self.conv = nn.Conv2d(WIDTH, WIDTH, (3, 1), padding=(1, 0))
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, (3, 1), padding=(1, 0), groups=WIDTH)
        self.small = nn.Linear(WIDTH, 8)
        self.final_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, latent: Tensor, input_ids: Tensor) -> Tensor:
        ffn = self.blocks[0]["ffn"]
        x = latent + self.table(input_ids)
        x = x + ffn["fc2"](torch.relu(ffn["fc1"](x)))
        x = x + self.depthwise(self.conv(x.transpose(1, 2)[..., None]))[..., 0].transpose(1, 2)
        return self.final_proj(x + self.small(x).sum(-1, keepdim=True))


COMPONENT = Component("denoiser", Toy().eval(), Toy().eval(), (LATENT, IDS), (VELOCITY,))
ZEROS = HIDDEN + 2 * WIDTH + WORDS
"""Before iOS 18, int8 has a zero point a channel, all 0."""
QUANTIZED = ("blocks.0.ffn.fc1.weight", "blocks.0.ffn.fc2.weight", "table.weight", "conv.weight")
Packed = tuple[MLModel, Mapping[str, str]]


def inputs() -> dict[str, np.ndarray]:
    drawn = np.random.default_rng(1)
    return {
        "latent": drawn.normal(size=LATENT.shape).astype(np.float32),
        "input_ids": drawn.integers(0, WORDS, IDS.shape, dtype=np.int32),
    }


@pytest.fixture(scope="module")
def halves() -> dict[int, Packed]:
    """The toy in float16 for iOS 17 and 18, with its constants' paths."""
    program = exported(COMPONENT)
    return {ios: (converted(program, COMPONENT, ios, lambda op: True), weight_paths(program)) for ios in (17, 18)}


def weights_of(model: MLModel, paths: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Weights as coremltools itself unpacks them, by path."""
    with quiet():
        unpacked = decompress_weights(model)
    found = {}
    for op in unpacked._mil_program.functions["main"].operations:
        if op.op_type == "const":
            name = op.name.removesuffix("_quantized").removesuffix("_palettized")
            if name in paths:
                found[paths[name]] = op.outputs[0].val.astype(np.float64)
    return found


def rows(weight: np.ndarray) -> np.ndarray:
    return weight.reshape(len(weight), -1)


@pytest.mark.parametrize(
    ("recipe", "ios", "elements"),
    [
        (INT8, 17, {"int8": 2 * MATRIX + TABLE + CONV + ZEROS}),
        (INT8, 18, {"int8": 2 * MATRIX + TABLE + CONV}),
        (INT6, 17, {"uint6": 2 * MATRIX + TABLE + CONV}),
        (INT6, 18, {"uint6": 2 * MATRIX + TABLE + CONV}),
        (INT4, 18, {"int4": 2 * MATRIX + TABLE + CONV}),
        (MIXED, 17, {"int8": MATRIX + HIDDEN, "uint6": MATRIX + TABLE + CONV}),
    ],
)
def test_the_file_holds_the_bits_that_the_recipe_says(
    recipe: Recipe, ios: int, elements: dict[str, int], halves: dict[int, Packed], tmp_path: Path
) -> None:
    model, paths = halves[ios]
    package = tmp_path / "toy.mlpackage"
    quantize(model, "denoiser", recipe, paths, ios).save(str(package))
    found = read_inventory(package, "main")
    packed = {dtype: n for dtype, n in found.weight_elements.items() if dtype.startswith(("int", "uint"))}
    assert packed == elements
    bits = {"int8": 8, "uint6": 6, "int4": 4}
    assert {dtype: found.weight_bytes[dtype] for dtype in packed} == {d: n * bits[d] // 8 for d, n in packed.items()}
    kept = GROUPED + 8 * WIDTH + WIDTH * WIDTH
    assert found.weight_elements["float16"] >= kept
    on_disk = (package / "Data/com.apple.CoreML/weights/weight.bin").stat().st_size
    counted = sum(found.weight_bytes.values())
    assert counted * 0.9 < on_disk < counted * 1.1 + 4096
    assert found.products["float16"] == 3
    assert sum(found.products.values()) == 6
    assert found.highest_rank == 4  # a table of palettes has rank 6, but no op computes with it


def test_int8_is_within_half_a_step_of_its_channel(halves: dict[int, Packed]) -> None:
    model, paths = halves[17]
    found = weights_of(quantize(model, "denoiser", INT8, paths, 17), paths)
    for path in QUANTIZED:
        weight = rows(COMPONENT.traceable.get_parameter(path).detach().double().numpy())
        step = np.abs(weight).max(1, keepdims=True) / 127
        error = np.abs(rows(found[path]) - weight)
        assert (error <= 0.51 * step + np.abs(weight) * 2e-3).all(), path
        assert error.max() > 0.2 * step.min(), path


def test_int4_is_within_half_a_step_of_its_block(halves: dict[int, Packed]) -> None:
    model, paths = halves[18]
    found = weights_of(quantize(model, "denoiser", INT4, paths, 18), paths)
    for path in QUANTIZED[:2]:
        weight = COMPONENT.traceable.get_parameter(path).detach().double().numpy()
        blocks = weight.reshape(len(weight), -1, 32)
        step = np.abs(blocks).max(2, keepdims=True) / 7
        error = np.abs(found[path].reshape(blocks.shape) - blocks)
        assert (error <= 0.51 * step + np.abs(blocks) * 2e-3).all(), path


@pytest.mark.parametrize(
    ("ios", "path", "palettes"), [(17, "conv.weight", 1), (18, "conv.weight", WIDTH // 16), (18, QUANTIZED[0], 1)]
)
def test_a_palette_has_64_values_for_a_tensor_or_for_16_channels_with_2048_weights(
    ios: int, path: str, palettes: int, halves: dict[int, Packed]
) -> None:
    model, paths = halves[ios]
    found = weights_of(quantize(model, "denoiser", INT6, paths, ios), paths)[path]
    groups = found.reshape(palettes, -1)
    assert [len(np.unique(group)) for group in groups] == [64] * palettes


def test_mixed_keeps_its_sensitive_layers_in_int8(halves: dict[int, Packed]) -> None:
    model, paths = halves[17]
    mixed = quantize(model, "denoiser", MIXED, paths, 17)
    fc1 = weights_of(mixed, paths)[QUANTIZED[0]]
    assert "blocks.*.ffn.fc1" in SENSITIVE["denoiser"]
    assert len(np.unique(fc1)) > 64


def test_w8a8_quantizes_what_the_products_read_at_the_ranges_of_the_scan(
    halves: dict[int, Packed], tmp_path: Path
) -> None:
    model, paths = halves[17]
    scan = RangeScan(exported(COMPONENT), ["latent", "input_ids"])
    scan.run(inputs())
    ranges = scan.product_inputs()
    activated = quantize_activations(model, "denoiser", W8A8, paths, ranges)
    package = tmp_path / "toy.mlpackage"
    quantize(activated, "denoiser", W8A8, paths, 17).save(str(package))
    counts = read_inventory(package, "main").ops
    assert counts["quantize"] == counts["dequantize"] == 3  # fc1, fc2, conv
    scales = sorted(
        float(op.inputs["scale"].val)
        for op in activated._mil_program.functions["main"].operations
        if op.op_type == "quantize"
    )
    largest = sorted(max(-low, high) for path, (low, high) in ranges.items() if path in QUANTIZED)
    assert scales == pytest.approx([value / 127.5 for value in largest], rel=0.01)
    with torch.inference_mode():
        eager = COMPONENT.eager(*(torch.from_numpy(value) for value in inputs().values())).numpy()
    found = Program.load(package).run(inputs())["velocity"]
    assert 1e-4 < np.abs(found - eager).max() / np.abs(eager).max() < 0.05


def test_a_component_without_large_weights_is_refused(halves: dict[int, Packed]) -> None:
    model, _ = halves[17]
    with pytest.raises(RuntimeError, match="quantizes nothing"):
        quantize(model, "denoiser", INT8, {}, 17)


@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform"])
def test_a_palette_is_near_the_best_there_is(draw: str) -> None:
    weight = getattr(np.random.default_rng(0), draw)(size=(128, 96)).astype(np.float32)
    values, indices = palette(weight, 6)
    assert values.shape == (64,) and values.dtype == np.float32 and indices.shape == (weight.size,)
    best = kmeans1d.cluster(weight.ravel(), 64)
    optimum = np.mean((np.array(best.centroids)[best.clusters] - weight.ravel()) ** 2)
    assert optimum * 0.999 <= np.mean((values[indices] - weight.ravel()) ** 2) <= optimum * 10**0.1  # 1 dB

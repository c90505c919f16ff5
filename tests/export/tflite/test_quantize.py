"""Recipes on a file: what is stored as what, by the modules' own weights, and what the inventory says of it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_quantizer.utils.tfl_flatbuffer_utils import get_tensor_data, get_tensor_name
from torch import nn

from lira_export.gates import check_quantized
from lira_export.recipes import FLOAT16, INT4, INT8, Recipe
from lira_export.tflite.delegation import undelegated
from lira_export.tflite.inventory import read_inventory
from lira_export.tflite.model import read
from lira_export.tflite.quantize import quantize
from lira_export.tflite.target import require_shared_weights
from lira_runtime.backends.tflite import TfliteBackend
from lira_runtime.errors import ParityLost


def quantized(decoder, recipe: Recipe, folder: Path) -> Path:
    goal = folder / "decoder.tflite"
    quantize(decoder.path, goal, "decoder", recipe)
    return goal


def kept_float(path: str, module: nn.Conv2d) -> bool:
    """By the recipes' words: the first and the last layers, and convolutions of single channels."""
    return path.startswith(("stem", "detail", "head")) or module.groups > 1


def test_int8_stores_every_wanted_weight_by_channel(decoder, tmp_path: Path) -> None:
    path = quantized(decoder, INT8, tmp_path)
    model = read(path)
    outputs = {get_tensor_name(model.subgraphs[1].tensors[op.outputs[0]]): op for op in model.subgraphs[1].operators}
    checked = 0
    for name, module in decoder.variants[64].traceable.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        op = next(op for output, op in outputs.items() if output.startswith(f"{name}@"))
        stored = model.subgraphs[1].tensors[op.inputs[1]]
        values = get_tensor_data(stored, model.buffers)
        if kept_float(name, module):
            assert values.dtype == np.float32
            continue
        scale = np.asarray(stored.quantization.scale)[:, None, None, None]
        expected = module.weight.detach().numpy().transpose(0, 2, 3, 1)
        assert values.dtype == np.int8
        assert (np.abs(values * scale - expected) <= 0.501 * scale).all()
        assert not np.any(stored.quantization.zeroPoint)
        checked += 1
    assert checked > 10


@pytest.mark.parametrize(("recipe", "least_psnr", "share"), [(FLOAT16, 60, 0.65), (INT8, 35, 0.5)])
def test_a_smaller_file_still_draws_and_still_shares(
    decoder, tmp_path: Path, recipe: Recipe, least_psnr: float, share: float
) -> None:
    path = quantized(decoder, recipe, tmp_path)
    require_shared_weights(path)
    assert path.stat().st_size < share * decoder.path.stat().st_size
    backend = TfliteBackend()
    for graph in decoder.graphs:
        latent = torch.randn(graph.inputs[0].shape, generator=torch.Generator().manual_seed(1))
        backend.load(graph, tmp_path)
        image = backend.run({"latent": latent.numpy()})["image"]
        backend.unload()
        with torch.inference_mode():
            expected = decoder.variants[graph.resolution].eager(latent).numpy()
        error = np.sqrt(np.mean((image - expected) ** 2))
        assert 20 * np.log10(np.abs(expected).max() / error) > least_psnr


def test_the_inventory_counts_what_the_recipe_leaves(decoder, tmp_path: Path) -> None:
    path = quantized(decoder, INT8, tmp_path)
    convolutions = {n: m for n, m in decoder.variants[64].eager.named_modules() if isinstance(m, nn.Conv2d)}
    float32 = {name for name, module in convolutions.items() if kept_float(name, module)}
    stored = sum(m.weight.numel() for n, m in convolutions.items() if n not in float32)
    found = read_inventory(path, "r64")
    assert found.products == Counter(float32=len(float32), int8=len(convolutions) - len(float32))
    assert found.weight_bytes["int8"] == found.weight_elements["int8"] == stored
    assert found.highest_rank == 4
    check_quantized("decoder", INT8, found)


def test_a_file_that_is_still_float_is_caught(decoder) -> None:
    found = read_inventory(decoder.path, "r64")
    assert set(found.products) == {"float32"}
    with pytest.raises(ParityLost, match="not quantized"):
        check_quantized("decoder", INT8, found)


def test_nothing_to_quantize_is_an_error(decoder, tmp_path: Path) -> None:
    everything = Recipe("none", "int8", {}, 0, keep_float={"decoder": ("*",)})
    with pytest.raises(RuntimeError, match="nothing to quantize"):
        quantized(decoder, everything, tmp_path)


@pytest.mark.parametrize(("recipe", "bits"), [(INT8, 8), (INT4, 4)])
def test_a_denoisers_products_are_packed_and_its_reasoning_stays_float(
    denoiser, tmp_path: Path, recipe: Recipe, bits: int
) -> None:
    goal = tmp_path / "denoiser.tflite"
    quantize(denoiser.path, goal, "denoiser", recipe)
    modules = denoiser.variants[32].traceable.named_modules()
    blocks = {n: m for n, m in modules if n.startswith("blocks.") and isinstance(m, nn.Linear)}
    elements = sum(module.weight.numel() for module in blocks.values())
    for graph in denoiser.graphs:
        found = read_inventory(goal, graph.entry)
        assert found.products[recipe.dtype] == len(blocks) > 5
        assert found.weight_elements[recipe.dtype] == elements
        assert found.weight_bytes[recipe.dtype] == elements * bits // 8


@pytest.mark.parametrize("recipe", [None, FLOAT16, INT8, INT4])
def test_all_arithmetic_is_delegated(decoder, denoiser, tmp_path: Path, recipe: Recipe | None) -> None:
    for name, component, left in (("decoder", decoder, Counter()), ("denoiser", denoiser, Counter(CAST=1))):
        path = component.path
        if recipe is not None:
            path = tmp_path / f"{name}.tflite"
            quantize(component.path, path, name, recipe)
        for graph in component.graphs:
            assert undelegated(path, graph.entry) == left

"""Weights that coremltools has quantized, as the interpreter unpacks them, against NumPy on what the file stores."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coremltools.optimize.coreml import (
    OpLinearQuantizerConfig,
    OpPalettizerConfig,
    OpThresholdPrunerConfig,
    OptimizationConfig,
    linear_quantize_weights,
    palettize_weights,
    prune_weights,
)
from numpy.typing import NDArray
from torch import nn

from lira_export.coreml.interpret import Program, read_function

OUTPUTS, INPUTS = 48, 64
Array = NDArray[Any]
Parts = dict[str, Array]


def per_channel(parts: Parts) -> Array:
    return parts["quantized_data"].astype(np.float64) * parts["scale"].reshape(OUTPUTS, 1)


def per_channel_affine(parts: Parts) -> Array:
    steps = parts["quantized_data"].astype(np.float64) - parts["zero_point"].astype(np.float64).reshape(OUTPUTS, 1)
    return steps * parts["scale"].reshape(OUTPUTS, 1)


def packed_palette(parts: Parts) -> Array:
    """6-bit places, the lowest bit first, one after the other."""
    bits = np.unpackbits(parts["indices"], bitorder="little")[: 6 * OUTPUTS * INPUTS].reshape(-1, 6)
    return parts["lut"][bits @ (1 << np.arange(6))].reshape(OUTPUTS, INPUTS)


def grouped_palette(parts: Parts) -> Array:
    groups = parts["lut"].shape[0]
    rows = [parts["lut"][row * groups // OUTPUTS, 0, :, 0][places] for row, places in enumerate(parts["indices"])]
    return np.stack(rows)


def per_block(parts: Parts) -> Array:
    block = INPUTS // parts["scale"].shape[1]
    return parts["data"].astype(np.float64) * np.kron(parts["scale"], np.ones((1, block)))


def sparse(parts: Parts) -> Array:
    dense = np.zeros(OUTPUTS * INPUTS)
    dense[np.unpackbits(parts["mask"], bitorder="little")[: dense.size] == 1] = parts["nonzero_data"]
    return dense.reshape(OUTPUTS, INPUTS)


LINEAR = {"dtype": "int8", "granularity": "per_channel", "weight_threshold": 0}
BLOCK = {"dtype": "int4", "granularity": "per_block", "block_size": 16, "weight_threshold": 0}
GROUPED = {"granularity": "per_grouped_channel", "group_size": 16}
FORMS = {
    "int8": (17, linear_quantize_weights, OpLinearQuantizerConfig(mode="linear_symmetric", **LINEAR), per_channel),
    "affine int8": (17, linear_quantize_weights, OpLinearQuantizerConfig(mode="linear", **LINEAR), per_channel_affine),
    "palette": (17, palettize_weights, OpPalettizerConfig(mode="uniform", nbits=6, weight_threshold=0), packed_palette),
    "grouped palette": (
        18,
        palettize_weights,
        OpPalettizerConfig(mode="uniform", nbits=6, weight_threshold=0, **GROUPED),
        grouped_palette,
    ),
    "int4": (18, linear_quantize_weights, OpLinearQuantizerConfig(mode="linear_symmetric", **BLOCK), per_block),
    "sparse": (17, prune_weights, OpThresholdPrunerConfig(threshold=0.3, weight_threshold=0), sparse),
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_what_the_file_stores(form: str, convert: Any, save: Callable[[Any], Path]) -> None:
    ios, carry_out, config, unpacked = FORMS[form]
    torch.manual_seed(1)
    layer = nn.Linear(INPUTS, OUTPUTS, bias=False)
    nn.init.normal_(layer.weight, std=0.3)
    model = convert(layer, (torch.zeros(INPUTS, INPUTS),), ios=ios)
    package = save(carry_out(model, OptimizationConfig(global_config=config)))

    (op,) = [op for op in read_function(package, "main").operations if op.op_type.startswith("constexpr_")]
    expected = unpacked({name: np.asarray(var.val) for name, var in op.inputs.items()})
    program = Program.load(package)
    assert program.op_counts() == {op.op_type: 1, "linear": 1}
    weight = program.run({"x0": np.eye(INPUTS, dtype=np.float32)})["y0"].T  # one product and zeros: exact
    np.testing.assert_allclose(weight, expected, rtol=1e-6, atol=0)
    original = layer.weight.detach().numpy()
    assert 0 < np.abs(weight - original).max() < {"int4": 0.15, "sparse": 0.301}.get(form, 0.03)

"""Packages and single ops made by coremltools alone, for the tests of what reads and runs them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

logging.getLogger("coremltools").setLevel(logging.ERROR)

import coremltools as ct  # noqa: E402
from coremltools.converters.mil import Builder  # noqa: E402
from coremltools.converters.mil.mil import Function, types  # noqa: E402

from lira_export.coreml.interpret import Program  # noqa: E402

Convert = Callable[..., ct.models.MLModel]
Array = NDArray[Any]
Interpreted = Callable[..., Array]


def _layer_norm(x, shape, weight=None, bias=None, eps=1e-5, cudnn_enable=False):  # type: ignore[no-untyped-def]
    """coremltools takes gamma and beta as constants only."""
    if weight is None and bias is None:
        return NotImplemented
    y = torch.nn.functional.layer_norm(x, shape, None, None, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


DECOMPOSITIONS = {torch.ops.aten.layer_norm.default: _layer_norm, torch.ops.aten.alias.default: lambda x: x}


@pytest.fixture(scope="session")
def convert() -> Convert:
    """A module and its example inputs -> an ML Program with inputs x0, x1, ... and outputs y0, y1, ..."""

    def run(module: nn.Module, example: tuple[Tensor, ...], half: bool = False, ios: int = 17, outputs: int = 1):  # type: ignore[no-untyped-def]
        program = torch.export.export(module.eval(), example).run_decompositions(DECOMPOSITIONS)
        return ct.convert(
            program,
            convert_to="mlprogram",
            inputs=[ct.TensorType(f"x{i}", value.shape, np.float32) for i, value in enumerate(example)],
            outputs=[ct.TensorType(name=f"y{i}") for i in range(outputs)],
            minimum_deployment_target=ct.target[f"iOS{ios}"],
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            skip_model_load=True,
        )

    return run


@pytest.fixture
def save(tmp_path: Path) -> Callable[[ct.models.MLModel], Path]:
    def run(model: ct.models.MLModel) -> Path:
        package = tmp_path / "model.mlpackage"
        model.save(str(package))
        return package

    return run


@pytest.fixture
def interpreted() -> Interpreted:
    """What builds an op, and its operands -> the op's first output by the interpreter, which is given no constant."""

    def run(build: Callable[..., Any], arrays: list[Array]) -> Array:
        dtypes = {"float32": types.fp32, "float16": types.fp16}
        inputs = {f"x{i}": Builder.placeholder(array.shape, dtypes[array.dtype.name]) for i, array in enumerate(arrays)}
        with Function(inputs, opset_version=ct.target.iOS18) as function:
            function.set_outputs([build(*function.inputs.values())])
        found = Program(function).run({f"x{i}": array for i, array in enumerate(arrays)})
        return next(iter(found.values()))

    return run


@pytest.fixture
def assert_rounded() -> Callable[[Array, Array], None]:
    """Equal but for the order of float32 sums, or but for one or two roundings to float16 (2^-11 each)."""

    def check(found: Array, expected: Array) -> None:
        relative, absolute = (2.0**-10, 2.0**-14) if found.dtype == np.float16 else (1e-5, 5e-6)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.astype(np.float64), expected.astype(np.float64), rtol=relative, atol=absolute)

    return check


@pytest.fixture
def operands() -> Callable[..., list[Array]]:
    """Shapes and a dtype -> normal numbers of deviation 2."""

    def make(shapes: tuple[tuple[int, ...], ...], dtype: str) -> list[Array]:
        generator = np.random.default_rng(3)
        return [(generator.standard_normal(shape) * 2).astype(dtype) for shape in shapes]

    return make

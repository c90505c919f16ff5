"""Ops that PyTorch runs, against the evaluation that coremltools itself has of them."""

from collections.abc import Callable
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import Function, types
from numpy.typing import NDArray

mb = Builder
Array = NDArray[Any]
Build = Callable[..., Any]
Case = tuple[str, Build, tuple[tuple[int, ...], ...]]
CUBE = (2, 3, 4)
GAMMA = np.linspace(0.5, 2, 12)
TABLE = np.array([[2, 0], [1, -1]], np.int32)
EPSILON = 2.0**-10
"""Exact in float16, as every number that a case fixes."""


def like(x: Any, values: Any) -> Array:
    """A constant of x's dtype."""
    return np.asarray(values, types.nptype_from_builtin(x.dtype))


def with_inference() -> list[Case]:
    """Ops that have a value_inference: a name, a function that builds the op, the shapes of its operands."""
    two = ("add", "sub", "mul", "maximum", "minimum", "less", "less_equal", "greater", "greater_equal")
    one = ("abs", "cos", "erf", "exp", "relu", "sigmoid", "sin", "softplus", "square", "tanh")
    reductions = ("reduce_mean", "reduce_sum", "reduce_max", "reduce_min")
    gelus = ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    return [
        *((name, lambda x, y, name=name: getattr(mb, name)(x=x, y=y), (CUBE, (3, 1))) for name in two),
        *((name, lambda x, name=name: getattr(mb, name)(x=x), (CUBE,)) for name in one),
        *(
            (name, lambda x, name=name: getattr(mb, name)(x=x, axes=[0, -1], keep_dims=True), (CUBE,))
            for name in reductions
        ),
        *(
            (name, lambda x, name=name: getattr(mb, name)(x=x, axes=[1], keep_dims=False), (CUBE,))
            for name in reductions
        ),
        *(("gelu", lambda x, mode=mode: mb.gelu(x=x, mode=mode), (CUBE,)) for mode in gelus),
        ("equal", lambda x, y: mb.equal(x=mb.relu(x=x), y=mb.relu(x=y)), (CUBE, CUBE)),
        ("not_equal", lambda x, y: mb.not_equal(x=mb.relu(x=x), y=mb.relu(x=y)), (CUBE, CUBE)),
        ("real_div", lambda x, y: mb.real_div(x=x, y=y), (CUBE, (3, 1))),
        ("sqrt", lambda x: mb.sqrt(x=mb.square(x=x)), (CUBE,)),
        ("log", lambda x: mb.log(x=mb.abs(x=x), epsilon=like(x, EPSILON)), (CUBE,)),
        ("rsqrt", lambda x: mb.rsqrt(x=mb.abs(x=x), epsilon=like(x, EPSILON)), (CUBE,)),
        ("inverse", lambda x: mb.inverse(x=mb.abs(x=x), epsilon=like(x, EPSILON)), (CUBE,)),
        ("clip", lambda x: mb.clip(x=x, alpha=like(x, -0.5), beta=like(x, 0.75)), (CUBE,)),
        ("select", lambda x, y: mb.select(cond=mb.less(x=x, y=y), a=x, b=y), (CUBE, CUBE)),
        ("cast", lambda x: mb.cast(x=mb.mul(x=x, y=like(x, 4)), dtype="int32"), (CUBE,)),
        ("cast", lambda x: mb.cast(x=mb.mul(x=x, y=like(x, 8)), dtype="fp32"), (CUBE,)),
        ("cast", lambda x: mb.cast(x=mb.relu(x=x), dtype="bool"), (CUBE,)),
        ("quantize", lambda x: mb.quantize(input=x, scale=like(x, 0.25), output_dtype="int8"), (CUBE,)),
        ("quantize", quantize_by_channel, (CUBE,)),
        ("reshape", lambda x: mb.reshape(x=x, shape=[4, -1]), (CUBE,)),
        ("expand_dims", lambda x: mb.expand_dims(x=x, axes=[0, -1]), (CUBE,)),
        ("squeeze", lambda x: mb.squeeze(x=x, axes=[1]), ((2, 1, 3),)),
        ("transpose", lambda x: mb.transpose(x=x, perm=[2, 0, 1]), (CUBE,)),
        ("concat", lambda x, y: mb.concat(values=[x, y, x], axis=-1), (CUBE, (2, 3, 1))),
        ("stack", lambda x, y: mb.stack(values=[x, y], axis=1), (CUBE, CUBE)),
        ("split", lambda x: mb.split(x=x, num_splits=2, axis=2)[1], (CUBE,)),
        ("split", lambda x: mb.split(x=x, split_sizes=[1, 3], axis=-1)[1], (CUBE,)),
        ("tile", lambda x: mb.tile(x=x, reps=[2, 1, 3]), (CUBE,)),
        ("slice_by_index", lambda x: mb.slice_by_index(x=x, begin=[0, -2, 1], end=[2, 3, -1]), (CUBE,)),
        ("slice_by_index", masked_slice, (CUBE,)),
        ("gather", lambda x: mb.gather(x=x, indices=TABLE, axis=1), (CUBE,)),
        ("pad", lambda x: mb.pad(x=x, pad=[1, 0, 2, 3], constant_val=like(x, 1.5)), (CUBE,)),
        ("pad", lambda x: mb.pad(x=x, pad=[1, 2], mode="reflect"), (CUBE,)),
        ("matmul", lambda x, y: mb.matmul(x=x, y=y), (CUBE, (1, 4, 5))),
        ("matmul", lambda x, y: mb.matmul(x=x, y=y, transpose_x=True, transpose_y=True), (CUBE, (5, 3))),
        ("linear", lambda x: mb.linear(x=x, weight=like(x, weights(5, 4)), bias=like(x, weights(5))), (CUBE,)),
        ("layer_norm", lambda x: mb.layer_norm(x=x, axes=[-1], epsilon=like(x, EPSILON)), (CUBE,)),
        ("layer_norm", affine_norm, (CUBE,)),
        ("layer_norm", lambda x: mb.layer_norm(x=x, axes=[1], epsilon=like(x, EPSILON)), (CUBE,)),
        ("softmax", lambda x: mb.softmax(x=x, axis=1), (CUBE,)),
        ("scaled_dot_product_attention", attention, ((2, 5, 4), (2, 3, 4), (2, 3, 6), (5, 3))),
    ]


def quantize_by_channel(x: Any) -> Any:
    zero = np.array([3, 100, 200], np.uint8)
    return mb.quantize(input=x, scale=like(x, [0.25, 0.01, 2]), zero_point=zero, axis=1, output_dtype="uint8")


def masked_slice(x: Any) -> Any:
    masks = {"begin_mask": [True, False, False], "end_mask": [False, False, True], "squeeze_mask": [False, True, False]}
    return mb.slice_by_index(x=x, begin=[1, 2, 1], end=[2, 0, 0], stride=[1, 1, 2], **masks)


def affine_norm(x: Any) -> Any:
    gamma, beta = like(x, GAMMA.reshape(3, 4)), like(x, -GAMMA.reshape(3, 4))
    return mb.layer_norm(x=x, axes=[1, 2], gamma=gamma, beta=beta, epsilon=like(x, EPSILON))


def attention(query: Any, key: Any, value: Any, mask: Any) -> Any:
    return mb.scaled_dot_product_attention(query=query, key=key, value=value, attn_mask=mask)


def weights(*shape: int) -> Array:
    return np.random.default_rng(7).integers(-8, 8, shape) / 4


def inferred(build: Build, arrays: list[Array]) -> Array:
    """The op on constants, which coremltools evaluates as it builds it."""
    with Function({}, opset_version=ct.target.iOS18):
        return np.asarray(build(*[mb.const(val=array) for array in arrays]).val)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("case", with_inference(), ids=lambda case: case[0])
def test_op_is_what_its_value_inference_says(
    case: Case, dtype: str, interpreted: Any, operands: Any, assert_rounded: Any
) -> None:
    _, build, shapes = case
    arrays = operands(shapes, dtype)
    expected = inferred(build, [array.astype(np.float32) for array in arrays])
    found = interpreted(build, arrays)
    if expected.dtype == np.float32:
        assert_rounded(found, expected)
    else:
        np.testing.assert_array_equal(found, expected)


def test_float16_sums_are_float32(interpreted: Any) -> None:
    ones = np.ones((1, 4096), np.float16)
    assert interpreted(lambda x: mb.reduce_sum(x=x, axes=[1], keep_dims=False), [ones])[0] == 4096
    # cumsum is run by its own value_inference; in float16, 2048 + 1 is 2048.
    assert interpreted(lambda x: mb.cumsum(x=x, axis=1), [ones])[0, -1] == 4096

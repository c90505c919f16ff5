"""What a saved package holds, read from its ML Program."""

from collections import Counter
from collections.abc import Iterator
from math import prod
from pathlib import Path

from coremltools.converters.mil.mil import Operation, Var, types

from lira_export.coreml.interpret import read_function
from lira_export.target import Inventory

WEIGHT_INPUTS = {"linear": "weight", "conv": "weight", "matmul": "y", "gather": "x"}
PRODUCTS = ("linear", "conv", "matmul")
UNPACKED = {
    "constexpr_affine_dequantize": ("quantized_data", ("scale", "zero_point")),
    "constexpr_blockwise_shift_scale": ("data", ("scale", "offset")),
    "constexpr_lut_to_dense": ("indices", ("lut",)),
}
"""Ops that unpack weights: the input that holds the packed ones, and the inputs that hold scales and tables."""
NAMES = {types.fp16: "float16", types.fp32: "float32"}


def read_inventory(package: Path, function: str) -> Inventory:
    """Counts of one function of a .mlpackage. Raises DamagedBundle as `read_function` does."""
    operations = read_function(package, function).operations
    sizes, elements, products = Counter[str](), Counter[str](), Counter[str]()
    for op in operations:
        for dtype, count, bits in _stored(op):
            elements[dtype] += count
            sizes[dtype] += count * bits // 8
        weight = _weight(op) if op.op_type in PRODUCTS else None
        if weight is not None:
            products[weight] += 1
    ops = Counter(op.op_type for op in operations if op.op_type != "const")
    ranks = [var.rank for op in operations if not _is_packed(op) for var in op.outputs if isinstance(var, Var)]
    return Inventory(ops, products, sizes, elements, max(ranks))


def _stored(op: Operation) -> Iterator[tuple[str, int, int]]:
    """What an op holds of numbers: dtype, how many, bits of one."""
    if op.op_type in UNPACKED:
        packed, others = UNPACKED[op.op_type]
        dtype, bits = _packed(op)
        yield dtype, prod(op.outputs[0].shape), bits
        for name in others:
            if op.inputs.get(name) is not None:
                yield from _floats(op.inputs[name])
    elif op.op_type == "const" and not _is_packed(op):
        yield from _floats(op.outputs[0])


def _is_packed(op: Operation) -> bool:
    """Whether a constant is only a part of packed weights, whose table has two dimensions more than they have."""
    return op.op_type == "const" and any(child.op_type in UNPACKED for child in op.outputs[0].child_ops)


def _floats(var: Var) -> Iterator[tuple[str, int, int]]:
    if types.is_tensor(var.sym_type) or var.dtype in NAMES:
        name = NAMES.get(var.dtype, types.builtin_to_string(var.dtype))
        if var.dtype in NAMES or var.dtype in (types.int8, types.uint8):
            yield name, prod(var.shape), var.dtype.get_bitwidth()


def _packed(op: Operation) -> tuple[str, int]:
    """Dtype and bits of the packed weights: palettes by the number of their entries."""
    if op.op_type == "constexpr_lut_to_dense":
        entries = op.lut.shape[-2] if op.lut.rank > 1 else op.lut.shape[0]
        bits = (entries - 1).bit_length()
        return f"uint{bits}", bits
    dtype = op.inputs[UNPACKED[op.op_type][0]].dtype
    return types.builtin_to_string(dtype), dtype.get_bitwidth()


def _weight(op: Operation) -> str | None:
    """Stored dtype of a product's constant weight, or None where it is computed."""
    maker = op.inputs[WEIGHT_INPUTS[op.op_type]].op
    while maker is not None and maker.op_type == "cast":
        maker = maker.x.op
    if maker is None:
        return None
    if maker.op_type in UNPACKED:
        return _packed(maker)[0]
    return NAMES.get(maker.outputs[0].dtype) if maker.op_type == "const" else None

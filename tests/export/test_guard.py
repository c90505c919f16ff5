"""The lowering guard on inventories made by hand: what each target's graphs must not hold."""

from collections import Counter

import pytest

from lira_export.guard import ALLOWED, MOST_UNDELEGATED, UNDELEGATED, check_lowering
from lira_export.target import Inventory
from lira_runtime.errors import ParityLost
from lira_runtime.interface import IMAGE_ENCODER
from lira_runtime.manifest import TargetName

CONTROL_FLOW: list[tuple[TargetName, str]] = [
    ("onnx", "Loop"),
    ("onnx", "Scan"),
    ("onnx", "If"),
    ("coreml", "while_loop"),
    ("coreml", "cond"),
    ("tflite", "WHILE"),
    ("tflite", "IF"),
    ("tflite", "CALL_ONCE"),
]
UNLISTED: list[tuple[TargetName, str]] = [("onnx", "Einsum"), ("coreml", "cumsum"), ("tflite", "GATHER_ND")]
"""Ops that their formats have, and phones' kernels too often have not."""


def holding(*kinds: str, rank: int = 4, **undelegated: int) -> Inventory:
    return Inventory(Counter(kinds), Counter(), Counter(), Counter(), rank, Counter(undelegated))


@pytest.mark.parametrize("component", ["denoiser", IMAGE_ENCODER])
@pytest.mark.parametrize(("target", "kind"), CONTROL_FLOW)
def test_control_flow_is_caught_in_every_component(target: TargetName, kind: str, component: str) -> None:
    used = next(iter(ALLOWED[target]))
    with pytest.raises(ParityLost, match=f"^{component}: the {target} graph holds {kind}, which it must not"):
        check_lowering(target, component, holding(used, kind))


@pytest.mark.parametrize(("target", "kind"), UNLISTED)
def test_an_op_that_nobody_has_looked_at_is_caught_but_in_a_public_encoder(target: TargetName, kind: str) -> None:
    for component in ("text_encoder", "denoiser", "decoder"):
        with pytest.raises(ParityLost, match=f"^{component}: the {target} graph holds {kind}, which it must not"):
            check_lowering(target, component, holding(kind))
    check_lowering(target, IMAGE_ENCODER, holding(kind))


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(ParityLost, match="graph holds GATHER_ND, WHILE, which it must not"):
        check_lowering("tflite", "decoder", holding("WHILE", "ADD", "GATHER_ND"))


@pytest.mark.parametrize("component", ["decoder", IMAGE_ENCODER])
def test_a_tensor_of_six_dimensions_is_caught(component: str) -> None:
    with pytest.raises(ParityLost, match=f"^{component}: a tensor has rank 6, 5 is the most"):
        check_lowering("coreml", component, holding(rank=6))


def test_an_op_that_xnnpack_leaves_without_a_known_reason_is_caught() -> None:
    check_lowering("tflite", "text_encoder", holding(**dict.fromkeys([*UNDELEGATED][:MOST_UNDELEGATED], 1)))
    with pytest.raises(ParityLost, match="^denoiser: XNNPACK leaves 1 CAST, 1 CUMSUM to slower kernels"):
        check_lowering("tflite", "denoiser", holding(CAST=1, CUMSUM=1))
    check_lowering("tflite", IMAGE_ENCODER, holding(CUMSUM=1))


def test_many_parts_are_caught_though_each_has_a_reason() -> None:
    check_lowering("tflite", "denoiser", holding(CAST=3))
    with pytest.raises(ParityLost, match="^denoiser: XNNPACK leaves 4 CAST to slower kernels"):
        check_lowering("tflite", "denoiser", holding(CAST=4))

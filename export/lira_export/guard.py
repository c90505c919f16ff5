"""The lowering guard: what a graph may be made of, so that a phone's runtime takes all of it.

The lists are what LiRA's networks become today. An op outside of them is not an op that no phone has, but one that
nobody has looked at: whether it is fast, whether the delegate takes it, whether the interpreter runs it.
"""

from collections.abc import Mapping

from lira_export.target import Inventory
from lira_runtime.errors import ParityLost
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import TargetName

HIGHEST_RANK = 5
CONTROL_FLOW = frozenset(
    {"Loop", "Scan", "If", "SequenceMap", "while_loop", "cond", "WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE"}
)
ONNX_OPS = frozenset(
    "Add Cast Clip Concat Conv Cos DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Exp Gather Gelu Gemm "
    "LayerNormalization MatMul MatMulInteger Max Min Mul Neg Pad QLinearConv QLinearMatMul ReduceMax ReduceMean "
    "ReduceMin ReduceSum Relu Reshape Round Sigmoid Sin Slice Softmax Softplus Split Squeeze Sub Transpose "
    "Unsqueeze".split()
)
COREML_OPS = frozenset(
    "add batch_norm cast clip concat conv cos exp expand_dims gather gelu greater_equal layer_norm linear matmul "
    "minimum mul pad pixel_shuffle reduce_mean reduce_sum relu reshape select sigmoid silu sin slice_by_index softmax "
    "softplus split squeeze sub transpose constexpr_affine_dequantize constexpr_blockwise_shift_scale "
    "constexpr_lut_to_dense quantize dequantize".split()
)
TFLITE_OPS = frozenset(
    "ABS ADD BATCH_MATMUL CAST CONCATENATION CONV_2D COS DEPTHWISE_CONV_2D DEQUANTIZE DIV EMBEDDING_LOOKUP EXP "
    "FULLY_CONNECTED GELU LOG LOGISTIC MEAN MINIMUM MUL PAD REDUCE_MAX RELU RESHAPE RSQRT SIN SLICE SOFTMAX "
    "SQUARED_DIFFERENCE SUB SUM TRANSPOSE".split()
)
ALLOWED: Mapping[TargetName, frozenset[str]] = {"onnx": ONNX_OPS, "coreml": COREML_OPS, "tflite": TFLITE_OPS}
"""Of text encoder, denoiser and decoder. A public image encoder is only kept from control flow and high ranks."""
UNDELEGATED: Mapping[str, str] = {
    "EMBEDDING_LOOKUP": "rows of the token table: a look-up, no arithmetic, once a prompt; XNNPACK has none",
    "RESHAPE": "of the int32 token numbers before that look-up; XNNPACK reshapes floats, and it copies nothing",
    "DEQUANTIZE": "of the token table that fp16 stores in half; XNNPACK unpacks the weights that it multiplies by",
    "CAST": "of the step count to int32, the graph's last op, one number; XNNPACK has no int32",
}
"""TFLite ops that may stay with LiteRT's own kernels, and why."""
MOST_UNDELEGATED = 3
"""Of such ops in one graph: more would cut it into parts that hand tensors over."""


def check_lowering(target: TargetName, component: str, inventory: Inventory) -> None:
    """Raise ParityLost, which names it, for what a graph of the target must not hold.

    That is control flow, an op outside the target's list, a tensor of rank above 5, or one that its accelerated
    kernels leave to others without a reason known here.
    """
    kinds = set(inventory.ops)
    wrong = kinds & CONTROL_FLOW
    if component in COMPONENTS:
        wrong |= kinds - ALLOWED[target]
    if wrong:
        raise ParityLost(
            f"{component}: the {target} graph holds {', '.join(sorted(wrong))}, which it must not.", "not_delegated"
        )
    if inventory.highest_rank > HIGHEST_RANK:
        raise ParityLost(
            f"{component}: a tensor has rank {inventory.highest_rank}, {HIGHEST_RANK} is the most.", "not_delegated"
        )
    left = inventory.undelegated
    unexplained = set(left) - set(UNDELEGATED)
    if component in COMPONENTS and (unexplained or left.total() > MOST_UNDELEGATED):
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        raise ParityLost(f"{component}: XNNPACK leaves {listed} to slower kernels.", "not_delegated")

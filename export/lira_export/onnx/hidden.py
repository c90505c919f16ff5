"""The hidden layer of Mix-FFN in 8 bits, from the first product to the second.

    h = QLinearMatMul(x_q, W_1)         uint8, one fixed scale for each channel, zero point 128
    h = QLinearConv(h, W_c, b)          uint8, zero point 0: values below are cut off, which is the ReLU
    y = h @ W_2                         as every other product, without a pass that measures its input

In float32 the layer is four times as wide as the tokens and is read and written by six passes (product, two changes of
layout, convolution, ReLU, quantization); here it is four times smaller and goes through two. The scales are fixed,
from `lira_export.calibration`. Between product and convolution every channel has its own scale, which costs nothing,
since both are channelwise there and take it into their weights (equalization, arXiv 1906.04721); after the ReLU one
scale serves all, since the second product sums over channels. HEADROOM is for values that calibration did not see.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lira_export.calibration import HiddenRange, HiddenRanges
from lira_export.onnx.edit import Attributes, constant_array, name_of, only_user
from lira_export.onnx.products import Activation, Products, quantize_weight
from lira_export.passes.naming import owner_of

MIDDLE = 128
HEADROOM = 1.5
LARGEST_BIAS = 2**30
"""Of a convolution, in its accumulator's units; int32 ends at 2^31."""


class _HiddenLayer:
    """The five nodes between a Mix-FFN's input and its output: product, transpose, convolution and ReLU, transpose."""

    def __init__(self, conv: ir.Node) -> None:
        self.conv = conv
        to_image = conv.inputs[0].producer() if conv.inputs[0] is not None else None
        first = to_image.inputs[0].producer() if to_image is not None and to_image.inputs[0] is not None else None
        relu = only_user(conv.outputs[0])
        to_tokens = only_user(relu.outputs[0]) if relu is not None else None
        second = only_user(to_tokens.outputs[0]) if to_tokens is not None else None
        nodes = (first, to_image, conv, relu, to_tokens, second)
        kinds = tuple(node.op_type if node is not None else "" for node in nodes)
        if kinds != ("MatMul", "Transpose", "Conv", "Relu", "Transpose", "MatMul"):
            raise RuntimeError(f"{conv.name} is not inside a Mix-FFN: its neighbours are {kinds}")
        self.first, self.to_image, _, self.relu, self.to_tokens, self.second = (n for n in nodes if n is not None)


def quantize_hidden_layers(products: Products, ranges: HiddenRanges) -> int:
    """Rewrite every Mix-FFN whose range is known; returns how many. Raises RuntimeError for another form of it."""
    done = 0
    for node in list(products.editor.graph):
        owner = (owner_of(node.inputs[1]) or "").removesuffix(".conv") if node.op_type == "Conv" else ""
        if owner in ranges:
            _rewrite(products, _HiddenLayer(node), ranges[owner])
            done += 1
    return done


def _rewrite(products: Products, layer: _HiddenLayer, found: HiddenRange) -> None:
    editor, first, conv, second = products.editor, layer.first, layer.conv, layer.second
    before, after = HEADROOM * found.expanded / 127, np.float32(HEADROOM * found.activated / 255)
    x = products.activation(first)
    w_1, w_conv, w_2 = (_array(node.inputs[1]) for node in (first, conv, second))
    names = [name_of(node.inputs[1]) for node in (first, conv, second)]
    packed = quantize_weight(w_1, axis=1)
    unit = editor.constant("one", np.array(1, np.float32))
    middle = editor.constant("middle", np.array(MIDDLE, np.uint8))
    lowest = editor.constant("lowest", np.array(0, np.uint8))
    weights = [
        editor.constant(f"{names[0]}.int8", packed.q),
        editor.constant(f"{names[0]}.scale", (packed.scale / before).astype(np.float32)),
        editor.constant(f"{names[0]}.zero", np.zeros(len(packed.scale), np.int8)),
    ]
    hidden = editor.add(second, "QLinearMatMul", [x.q, x.scale, x.zero, *weights, unit, middle], "expanded")
    hidden = editor.add(second, "Transpose", [hidden], "image", {"perm": [0, 3, 1, 2]})
    bias = _array(conv.inputs[2])
    packed = quantize_weight(
        w_conv, axis=0, least_scale=np.maximum(np.abs(bias) / (before * LARGEST_BIAS), 1e-14).astype(np.float32)
    )
    bias_q = np.round(bias / (packed.scale * before)).astype(np.int32)
    convolution = [
        editor.constant(f"{names[1]}.int8", packed.q),
        editor.constant(f"{names[1]}.scale", (packed.scale * before / after).astype(np.float32)),
        editor.constant(f"{names[1]}.zero", np.zeros(len(packed.scale), np.int8)),
        unit,
        lowest,
        editor.constant(f"{names[1]}.bias", bias_q),
    ]
    attributes: Attributes = {"group": len(bias), "kernel_shape": list(w_conv.shape[2:]), "pads": [1, 1, 1, 1]}
    hidden = editor.add(second, "QLinearConv", [hidden, unit, middle, *convolution], "mixed", attributes)
    hidden = editor.add(second, "Transpose", [hidden], "tokens", {"perm": [0, 2, 3, 1]})
    activation = Activation(hidden, unit, lowest)
    products.integer_product(second, activation, w_2 * after, names[2], bias=None)
    for node in (layer.to_tokens, layer.relu, conv, layer.to_image, first):
        editor.graph.remove(node, safe=True)


def _array(value: ir.Value | None) -> NDArray[np.float32]:
    array = constant_array(value)
    if array is None:
        raise RuntimeError("a Mix-FFN's weights must be constants of the graph")
    return array

"""Weights of a TFLite file by recipe, with AI Edge Quantizer: which layers are stored as what."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ai_edge_quantizer import qtyping
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.quantizer import Quantizer

from lira_export.failures import converter_log
from lira_export.recipes import Recipe
from lira_export.tflite.model import read
from lira_export.tflite.names import SEPARATOR, Layer, layers
from lira_runtime.backends.tflite import silent_stderr

BITS: Mapping[tuple[str, str], int] = {("int4", "FULLY_CONNECTED"): 4, ("int4", "EMBEDDING_LOOKUP"): 4}
"""By recipe's dtype and kind of op, where it is not 8: XNNPACK has no int4 convolutions."""
OPS: Mapping[str, qtyping.TFLOperationName] = {
    "FULLY_CONNECTED": qtyping.TFLOperationName.FULLY_CONNECTED,
    "CONV_2D": qtyping.TFLOperationName.CONV_2D,
    "DEPTHWISE_CONV_2D": qtyping.TFLOperationName.DEPTHWISE_CONV_2D,
    "EMBEDDING_LOOKUP": qtyping.TFLOperationName.EMBEDDING_LOOKUP,
}
FLOAT_WHERE_QUANTIZED = ("DEPTHWISE_CONV_2D",)
"""Nine products a value: quantizing the values costs more than it saves."""


def quantize(source: Path, goal: Path, component: str, recipe: Recipe) -> None:
    """Write `source`, whose layers are named, to `goal` with the layers' weights as the recipe says.

    Constants of the arithmetic, which belong to no layer, stay float32.

    Raises:
        RuntimeError: the recipe finds nothing to do, or does nothing.
        BadInput: the quantizer failed; the message names the log with its traceback.
    """
    model = read(source)
    wanted = {
        layer
        for subgraph in model.subgraphs
        for layer in layers(model, subgraph)
        if layer.kind in OPS and _is_wanted(layer, component, recipe)
    }
    if not wanted:
        raise RuntimeError(f"recipe {recipe.name} finds nothing to quantize in {component}")
    with converter_log(component), silent_stderr():
        quantizer = Quantizer(str(source))
        for kind in sorted({layer.kind for layer in wanted}):
            _add(quantizer, kind, (layer.path for layer in wanted if layer.kind == kind), recipe)
        quantizer.quantize(serialize_to_path=goal, enable_progress_bar=False, enable_progress_report=False)


def _is_wanted(layer: Layer, component: str, recipe: Recipe) -> bool:
    if not recipe.quantizes:
        return True
    return layer.kind not in FLOAT_WHERE_QUANTIZED and not recipe.keeps_float(component, layer.path)


def _add(quantizer: Quantizer, kind: str, paths: Iterable[str], recipe: Recipe) -> None:
    """One rule for the layers of a kind; the quantizer looks for the pattern in the names of an op's outputs."""
    pattern = rf"^({'|'.join(sorted(map(re.escape, set(paths))))}){SEPARATOR}"
    if recipe.quantizes:
        quantizer.add_dynamic_config(pattern, OPS[kind], BITS.get((recipe.dtype, kind), 8))
        return
    half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    quantizer.update_quantization_recipe(
        pattern,
        OPS[kind],
        qtyping.OpQuantizationConfig(
            weight_tensor_config=half,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        AlgorithmName.FLOAT_CASTING,
    )

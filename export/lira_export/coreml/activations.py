"""w8a8: the inputs of products in int8 at scales that a scan of real drawings gave.

coremltools collects such ranges by running the model, which needs macOS; here they come from the range scan.
"""

from collections.abc import Mapping

from coremltools.converters.mil.mil import types
from coremltools.models.utils import _apply_graph_pass
from coremltools.optimize.coreml import OpLinearQuantizerConfig, OptimizationConfig
from coremltools.optimize.coreml._quantization_passes import insert_prefix_quantize_dequantize_pair

from lira_export.coreml.library import MLModel, quiet
from lira_export.coreml.quantize import quantizable, weight_const
from lira_export.coreml.ranges import Range
from lira_export.recipes import Recipe


def quantize_activations(
    model: MLModel, component: str, recipe: Recipe, paths: Mapping[str, str], ranges: Mapping[str, Range]
) -> MLModel:
    """The model with a pair of quantize and dequantize before every product whose weight the recipe quantizes.

    ranges: by path of the weight, of what it multiplies. Products in float32 stay as they are.
    """
    wanted = {weight.const for weight in quantizable(model, component, recipe, paths)}
    configs, stats = {}, {}
    for op in model._mil_program.functions["main"].operations:
        const = weight_const(op)
        if const is not None and const.name in wanted and op.op_type != "gather" and op.x.dtype == types.fp16:
            low, high = ranges[paths[const.name]]
            configs[op.name] = OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8")
            stats[op.x.name] = {"rmin": low, "rmax": high}
    inserting = insert_prefix_quantize_dequantize_pair(OptimizationConfig(op_name_configs=configs))
    inserting.activation_stats = stats
    with quiet():
        return _apply_graph_pass(model, inserting)

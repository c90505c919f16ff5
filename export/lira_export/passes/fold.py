"""Constant folding by onnxscript.

The exporter can do it too (`optimize=True`), but then runs rewrite rules as well, in time quadratic in the nodes: two
thirds of the whole export of nano, for nothing that this graph has.
"""

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    DeduplicateInitializersPass,
    LiftConstantsToInitializersPass,
    RemoveUnusedNodesPass,
)
from onnxscript import optimizer


def fold_constants(model: ir.Model) -> ir.Model:
    """Fold everything that depends on weights and constants alone, transposed weights included."""
    optimizer.fold_constants(model, input_size_limit=1 << 40, output_size_limit=1 << 40)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    DeduplicateInitializersPass()(model)
    CommonSubexpressionEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    return model

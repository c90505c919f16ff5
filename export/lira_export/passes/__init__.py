"""Passes over the exported graph, in the order in which they run; each takes a model, changes it and returns it."""

from collections.abc import Callable

import onnx_ir as ir

from lira_export.passes.fold import fold_constants
from lira_export.passes.naming import name_by_module

PASSES: tuple[Callable[[ir.Model], ir.Model], ...] = (fold_constants, name_by_module)


def run_passes(model: ir.Model) -> ir.Model:
    """Run every pass."""
    for each in PASSES:
        model = each(model)
    return model

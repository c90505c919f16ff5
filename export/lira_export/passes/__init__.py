"""Passes over the exported graph, in the order in which they run; each takes a model, changes it and returns it."""

from collections.abc import Callable

import onnx_ir as ir

from lira_export.passes.naming import name_by_module
from lira_export.passes.softplus import plain_softplus

PASSES: tuple[Callable[[ir.Model], ir.Model], ...] = (name_by_module, plain_softplus)


def run_passes(model: ir.Model) -> ir.Model:
    """Run every pass."""
    for each in PASSES:
        model = each(model)
    return model

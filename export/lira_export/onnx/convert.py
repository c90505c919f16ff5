"""PyTorch to ONNX: the dynamo exporter, then the passes."""

import io
import logging
import warnings
from contextlib import redirect_stdout

import onnx_ir as ir
import torch

from lira_export.components import Component
from lira_export.onnx.translate import TRANSLATIONS
from lira_export.passes import run_passes

OPSET = 20
IR_VERSION = 10
"""The newest that onnxruntime 1.22, the oldest runtime a bundle must load in, reads."""


def to_onnx(component: Component) -> ir.Model:
    """The component as a float32 graph at opset 20, every node named after the module it came from."""
    # The exporter reports every step on stdout and warns about its own internals; neither helps our user.
    with torch.no_grad(), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            component.traceable,
            component.example(),
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in component.inputs],
            output_names=[spec.name for spec in component.outputs],
            optimize=False,
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert program is not None
    model = program.model
    model.ir_version = IR_VERSION
    model.graph.name = component.name
    return run_passes(model)

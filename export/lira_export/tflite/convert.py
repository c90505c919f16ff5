"""A component at all its resolutions to one TFLite file: a signature each, over one copy of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from lira_export.components import Component
from lira_export.failures import converter_log
from lira_runtime.backends.tflite import silent_stderr

with silent_stderr():  # importing it logs
    import litert_torch
    from litert_torch import progress
    from litert_torch.fx_infra import decomp


def to_tflite(variants: Mapping[str, Component], goal: Path) -> None:
    """Write the components, of the same weights, as signatures called by the keys.

    Inputs and outputs have the names of the components' specs.

    Raises:
        BadInput: the converter failed; the message names the log with its traceback.
    """
    name = next(iter(variants.values())).name
    with converter_log(name), silent_stderr(), _settings():
        converter = litert_torch
        for key, component in variants.items():
            inputs = dict(zip((spec.name for spec in component.inputs), component.example(), strict=True))
            converter = converter.signature(key, _Named(component).eval(), sample_kwargs=inputs)
        converter.convert().export(str(goal))


class _Named(nn.Module):
    """A component with inputs by keyword and outputs in a dict, whose names the converter keeps."""

    def __init__(self, component: Component) -> None:
        super().__init__()
        self.module = component.traceable
        self.inputs = [spec.name for spec in component.inputs]
        self.outputs = [spec.name for spec in component.outputs]

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        found = self.module(*(inputs[name] for name in self.inputs))
        return dict(zip(self.outputs, found if isinstance(found, tuple) else (found,), strict=True))


@contextmanager
def _settings() -> Iterator[None]:
    """The converter's global state as we need it, restored afterwards: softplus has no lowering; no progress bars."""
    kept, shown = (decomp._pre_convert_decomp, decomp._pre_lower_decomp), progress.config.show_progress
    decomp._pre_convert_decomp, decomp._pre_lower_decomp = (table.copy() for table in kept)
    decomp.add_pre_convert_decomp(torch.ops.aten.softplus, _softplus)
    progress.config.show_progress = False
    try:
        yield
    finally:
        progress.config.show_progress = shown
        decomp._pre_convert_decomp, decomp._pre_lower_decomp = kept


def _softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(x)) without overflow, for a beta of 1; `threshold` only saves PyTorch the same."""
    size = torch.abs(x)
    return 0.5 * (x + size) + torch.log(1.0 + torch.exp(-size))

"""The PyTorch operators that the exporter translates itself."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira_export.components import Component
from lira_export.onnx.convert import to_onnx
from lira_runtime.interface import TensorSpec

VALUES = (-100.0, -30.0, -1.0, -1e-6, 0.0, 1.0, 19.9, 20.1, 88.0, 100.0)


class SoftplusAndClamp(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.softplus(x), torch.clamp(x, max=0.5)


def test_softplus_and_an_upper_clamp_become_one_operator_each_with_torchs_values() -> None:
    module = SoftplusAndClamp().eval()
    x, soft, clamped = (TensorSpec(name=name, shape=(len(VALUES),), dtype="float32") for name in ("x", "soft", "low"))
    model = to_onnx(Component("tiny", module, module, (x,), (soft, clamped)))
    assert sorted(node.op_type for node in model.graph) == ["Min", "Softplus"]
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(["soft", "low"], {"x": np.array(VALUES, np.float32)})
    for value, wanted in zip(found, module(torch.tensor(VALUES)), strict=True):
        np.testing.assert_allclose(value, wanted.numpy(), rtol=1e-6, atol=1e-30)

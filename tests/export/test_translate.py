"""The PyTorch operators that the exporter translates itself."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
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


@pytest.mark.parametrize("factor", [2, 4])
def test_a_pixel_unshuffle_stays_in_rank_4_and_keeps_torchs_order_of_channels(factor: int) -> None:
    module, x = nn.PixelUnshuffle(factor), torch.randn(1, 3, 5 * factor, 2 * factor)
    wanted = module(x).numpy()
    specs = [TensorSpec(name=n, shape=tuple(s), dtype="float32") for n, s in (("x", x.shape), ("y", wanted.shape))]
    model = to_onnx(Component("tiny", module, module, (specs[0],), (specs[1],)))
    proto = ir.to_proto(model)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x.numpy()})[0], wanted)
    graph = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*graph.value_info, *graph.output)}
    assert ranks.keys() >= {name for node in graph.node for name in node.output} and max(ranks.values()) <= 4

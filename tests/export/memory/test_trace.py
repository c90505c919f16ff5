"""What a trace sees of a module, against what its layers are."""

import torch
from torch import Tensor, nn

from lira.latents import latent_kind
from lira.sources import Models
from lira_export.components import build_components
from lira_export.memory.shapes import shape_models
from lira_export.memory.trace import trace, trace_module

FLOAT = torch.float32


class _TwoLayers(nn.Module):
    """relu(x W_1 + b_1) W_2 + b_2, times a number that the weights alone decide."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.first.weight.mean() * 2
        return self.second(torch.relu(self.first(x))) * scale


def test_every_op_on_the_inputs_is_seen_whole_with_its_module_and_none_on_weights_alone() -> None:
    module = _TwoLayers()
    before = module.first.weight.clone()
    found = trace_module(module, [((3, 8), FLOAT)])
    assert [(op.kind, op.owner) for op in found.ops] == [
        ("linear", "first"),
        ("relu", ""),
        ("linear", "second"),
        ("mul", ""),
    ]
    assert [op.writes[0].shape for op in found.ops] == [(3, 32), (3, 32), (3, 4), (3, 4)]
    assert [op.writes[0].nbytes for op in found.ops] == [4 * 96, 4 * 96, 4 * 12, 4 * 12]
    assert [op.reads for op in found.ops] == [
        (each.name,) for each in (found.inputs[0], *(o.writes[0] for o in found.ops[:3]))
    ]
    assert found.outputs == (found.ops[-1].writes[0].name,)
    assert torch.equal(module.first.weight, before) and not module.first.weight.is_meta
    assert not module.first._forward_hooks and not module.first._forward_pre_hooks


def test_a_network_of_shapes_has_the_ops_of_one_with_weights(small_models: Models) -> None:
    shapes = shape_models("nano", latent_kind("f8c4"), "demo", 64)
    for real, empty in zip(build_components(small_models, 64), build_components(shapes, 64), strict=True):
        assert next(empty.traceable.parameters()).is_meta
        assert trace(real) == trace(empty)

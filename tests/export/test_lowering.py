"""What the scan becomes when it is traced: the operators and ranks that every exporter can lower."""

import pytest
import torch
from torch import nn

from lira.scan import Selection, scan_chunked, scan_pair

ALLOWED = {
    "add", "alias", "bmm", "cat", "clamp", "clone", "exp", "expand", "matmul", "minimum", "mm", "mul",
    "neg", "pad", "constant_pad_nd", "permute", "reshape", "select", "slice", "sub", "sum", "t",
    "transpose",
    "unsqueeze", "view", "_unsafe_view", "numpy_T", "split_with_sizes",
    "lift_fresh_copy", "detach_", "to", "_assert_tensor_metadata",  # of constants that are traced as data
}  # fmt: skip
FORBIDDEN = {"cumsum", "cumprod", "einsum", "gather", "index", "scatter", "flip", "where", "logcumsumexp"}
MOST_DIMENSIONS = 5


class Chunked(nn.Module):
    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.chunk = chunk

    def forward(self, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return scan_chunked(x, *rest, self.chunk)


class Paired(nn.Module):
    def __init__(self, chunk: int) -> None:
        super().__init__()
        self.chunk = chunk

    def forward(self, x: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        return scan_pair(x, Selection(*rest[:4]), Selection(*rest[4:8]), rest[8], self.chunk)


@pytest.mark.parametrize(("N", "chunk"), [(64, 64), (64, 16), (70, 16), (200, 4)])
@pytest.mark.parametrize("form", [Chunked, Paired])
def test_a_traced_scan_has_only_operators_that_lower_everywhere(form: type[nn.Module], N: int, chunk: int) -> None:
    G, H, P, S = 1, 2, 4, 3
    selection = (torch.rand(G, N, H), -torch.rand(G, N, H), torch.randn(G, N, S), torch.randn(G, N, S))
    selections = selection if form is Chunked else (*selection, *selection)
    inputs = (torch.randn(G, N, H, P), *selections, torch.randn(H))
    program = torch.export.export(form(chunk), inputs)
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    names = {node.target.__name__.split(".")[0] for node in nodes}
    assert not names & FORBIDDEN
    assert names <= ALLOWED, names - ALLOWED
    shapes = [node.meta["val"].shape for node in nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    assert max(len(shape) for shape in shapes) <= MOST_DIMENSIONS

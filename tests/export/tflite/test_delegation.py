"""Which ops XNNPACK leaves to LiteRT, on toys of which that is known."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from lira_export.components import Component
from lira_export.tflite.convert import to_tflite
from lira_export.tflite.delegation import undelegated
from lira_runtime.interface import TensorSpec

SPEC = (TensorSpec(name="x", shape=(1, 8), dtype="float32"),)


class Arithmetic(nn.Module):
    """All of it is delegated."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * torch.sigmoid(x + 1)


class Sums(nn.Module):
    """Two running sums, which XNNPACK has not, with arithmetic before, between and after them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.cumsum(3 * torch.cumsum(2 * x, 1), 1)) + 1


@pytest.mark.parametrize("first", ["arithmetic", "sums"])
def test_ops_that_stay_outside_are_named_wherever_they_stand(first: str, tmp_path: Path) -> None:
    toys = {"arithmetic": Arithmetic(), "sums": Sums()}
    order = [first, *(name for name in toys if name != first)]
    path = tmp_path / "toy.tflite"
    to_tflite({name: Component("decoder", toys[name], toys[name], SPEC, SPEC) for name in order}, path)
    assert undelegated(path, "arithmetic") == Counter()
    assert undelegated(path, "sums") == Counter(CUMSUM=2)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(KeyError):
        undelegated(path, "other")

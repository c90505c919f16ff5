"""The chunked and paired scans against the recurrence, in float64."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from lira.scan import Selection, scan_chunked, scan_pair, scan_sequential

TOLERANCE = 1e-10
"""Absolute for values; for gradients g of one element, relative to max(1, |g|)."""


class Case(NamedTuple):
    """Sizes of one draw; the log-decay of a token is about -10^decay: at -3 the state spans hundreds of tokens."""

    seed: int
    G: int
    N: int
    H: int
    P: int
    S: int
    decay: float


def case(N: int, decay: float = -2.0) -> Case:
    return Case(seed=7, G=1, N=N, H=2, P=3, S=2, decay=decay)


def draw(case: Case) -> tuple[Tensor, Selection, Tensor]:
    generator = torch.Generator().manual_seed(case.seed)
    G, N, H, P, S = case.G, case.N, case.H, case.P, case.S

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A = -(10**case.decay) * normal(G, N, H).abs()
    selection = Selection(normal(G, N, H).abs(), A, normal(G, N, S) / S**0.5, normal(G, N, S))
    return normal(G, N, H, P), selection, normal(H)


def flip(selection: Selection) -> Selection:
    return Selection(*(item.flip(1) for item in selection))


def two_recurrences(x: Tensor, forward: Selection, backward: Selection, D: Tensor) -> Tensor:
    """What `scan_pair` must equal, from the recurrence alone."""
    back = scan_sequential(x.flip(1), *flip(backward), torch.zeros_like(D)).flip(1)
    return scan_sequential(x, *forward, D) + back


def lengths(most: int) -> st.SearchStrategy[Case]:
    small = st.integers(1, 3)
    # Exponents of a scale that is log-uniform between 0.001 and 10.
    return st.builds(Case, st.integers(0, 2**31), st.integers(1, 2), st.integers(1, most), small, small, small,
                     st.floats(-3, 1))  # fmt: skip


def hard_cases(test: Callable[..., None]) -> Callable[..., None]:
    """Pin many chunks (32 states are carried at once: one group, then one more than fits), and a chunk beyond N."""
    for N, chunk in ((400, 1), (33, 1), (65, 1), (97, 1), (50, 64), (1, 9)):
        test = example(case=case(N), chunk=chunk)(test)
    return example(case=case(400, decay=-3.0), chunk=16)(test)


def test_the_recurrence_matches_a_hand_computed_case() -> None:
    x = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    dt, A = torch.full((1, 2, 1), 0.5), torch.full((1, 2, 1), -2.0)
    B, C = torch.tensor([[[3.0], [4.0]]]), torch.tensor([[[5.0], [6.0]]])
    h_1 = 0.5 * 3 * 1
    h_2 = torch.exp(torch.tensor(-1.0)).item() * h_1 + 0.5 * 4 * 2
    y = scan_sequential(x, dt, A, B, C, torch.tensor([7.0])).flatten().tolist()
    assert y == pytest.approx([5 * h_1 + 7 * 1, 6 * h_2 + 7 * 2], rel=1e-6)


def test_a_slow_decay_carries_the_first_token_across_many_chunks() -> None:
    x, selection, D = draw(case(400, decay=-3.0))
    later = x.clone()
    later[:, 0] += 1.0
    change = scan_sequential(later, *selection, D) - scan_sequential(x, *selection, D)
    assert float(change[:, 300:].abs().max()) > 1e-3, "else no test here would see the carry between chunks"
    found = scan_chunked(later, *selection, D, 16) - scan_chunked(x, *selection, D, 16)
    assert float((found - change).abs().max()) <= TOLERANCE


@hard_cases
@settings(max_examples=40, deadline=None)
@given(case=lengths(400), chunk=st.integers(1, 450))
def test_chunked_equals_sequential_for_any_length_and_chunk(case: Case, chunk: int) -> None:
    x, selection, D = draw(case)
    gap = scan_chunked(x, *selection, D, chunk) - scan_sequential(x, *selection, D)
    assert float(gap.abs().max()) <= TOLERANCE


@hard_cases
@settings(max_examples=40, deadline=None)
@given(case=lengths(400), chunk=st.integers(1, 450))
def test_a_pair_equals_a_forward_and_a_flipped_recurrence(case: Case, chunk: int) -> None:
    x, forward, D = draw(case)
    backward = draw(case._replace(seed=case.seed + 1))[1]
    wanted = two_recurrences(x, forward, backward, D)
    assert float((scan_pair(x, forward, backward, D, chunk) - wanted).abs().max()) <= TOLERANCE


@hard_cases
@settings(max_examples=10, deadline=None)
@given(case=lengths(100), chunk=st.integers(1, 64))
def test_segment_sums_equal_the_recurrence_in_one_direction_and_in_two(case: Case, chunk: int) -> None:
    x, forward, D = draw(case)
    backward = draw(case._replace(seed=case.seed + 1))[1]
    one = scan_chunked(x, *forward, D, chunk, segment_sums=True) - scan_sequential(x, *forward, D)
    two = scan_pair(x, forward, backward, D, chunk, segment_sums=True) - two_recurrences(x, forward, backward, D)
    assert max(float(one.abs().max()), float(two.abs().max())) <= TOLERANCE


class RoundedToHalf(TorchDispatchMode):
    """Every result of an operation is rounded to float16; sums within one are not."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return tree_map_only(Tensor, self._rounded, op(*args, **(kwargs or {})))

    @staticmethod
    def _rounded(item: Tensor) -> Tensor:
        return item.half().to(item.dtype) if item.is_floating_point() else item


def error_in_half(N: int, chunk: int, segment_sums: bool) -> float:
    """RMS error of a pair, relative, for steps and rates at the upper end of those that a fresh model draws."""
    generator = torch.Generator().manual_seed(5)
    G, H, P, S = 2, 2, 16, 16

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def selection() -> Selection:
        dt = 0.4 + 0.1 * torch.rand(G, N, H, generator=generator, dtype=torch.float64)
        rounded = (dt, -2 * torch.exp(0.2 * normal(G, N, H)), normal(G, N, S) / S**0.5, normal(G, N, S) / S**0.5)
        return Selection(*(item.half().double() for item in rounded))

    x, forward, backward = normal(G, N, H, P).half().double(), selection(), selection()
    wanted = two_recurrences(x, forward, backward, torch.zeros(H, dtype=torch.float64))
    with RoundedToHalf():
        found = scan_pair(x, forward, backward, None, chunk, segment_sums)
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.mark.parametrize("N", [64, 256])
def test_segment_sums_are_five_times_closer_in_float16(N: int) -> None:
    exact = error_in_half(N, 64, segment_sums=True)
    assert exact <= 1e-3
    assert error_in_half(N, 64, segment_sums=False) >= 5 * exact


def gradients_agree(found: Callable[..., Tensor], wanted: Callable[..., Tensor], leaves: list[Tensor]) -> None:
    """Gradients of both functions, for one random weighting of the outputs."""
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    weight = torch.randn(leaves[0].shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    oracle = torch.autograd.grad((wanted(*leaves) * weight).sum(), leaves)
    ours = torch.autograd.grad((found(*leaves) * weight).sum(), leaves)
    for a, b in zip(ours, oracle, strict=True):
        assert torch.isfinite(a).all()
        assert float(((a - b).abs() / b.abs().clamp_min(1.0)).max()) <= TOLERANCE


@hard_cases
@settings(max_examples=20, deadline=None)
@given(case=lengths(400), chunk=st.integers(1, 100))
def test_gradients_of_chunked_equal_those_of_sequential(case: Case, chunk: int) -> None:
    x, selection, D = draw(case)
    gradients_agree(lambda *leaves: scan_chunked(*leaves, chunk), scan_sequential, [x, *selection, D])


@hard_cases
@settings(max_examples=20, deadline=None)
@given(case=lengths(400), chunk=st.integers(1, 100))
def test_gradients_of_a_pair_equal_those_of_two_recurrences(case: Case, chunk: int) -> None:
    x, forward, D = draw(case)
    backward = draw(case._replace(seed=case.seed + 1))[1]

    def paired(x: Tensor, *rest: Tensor) -> Tensor:
        return scan_pair(x, Selection(*rest[:4]), Selection(*rest[4:8]), rest[8], chunk)

    def twice(x: Tensor, *rest: Tensor) -> Tensor:
        return two_recurrences(x, Selection(*rest[:4]), Selection(*rest[4:8]), rest[8])

    gradients_agree(paired, twice, [x, *forward, *backward, D])


def test_hard_decay_leaves_no_nan_no_memory_and_finite_gradients() -> None:
    x, selection, D = draw(case(70))
    hard = selection._replace(A=selection.A - 1e4, dt=selection.dt + 1.0)
    alone = (hard.C * hard.B).sum(-1)[..., None, None] * hard.dt[..., None] * x + D[:, None] * x
    assert float((scan_chunked(x, *hard, D, 16) - alone).abs().max()) <= TOLERANCE
    pair = scan_pair(x, hard, hard, D, 16)
    assert float((pair - (2 * alone - D[:, None] * x)).abs().max()) <= TOLERANCE
    leaves = [x, *hard, D]
    gradients_agree(lambda *leaves: scan_chunked(*leaves, 16), scan_sequential, leaves)
    gradients_agree(
        lambda x, *rest: scan_pair(x, Selection(*rest[:4]), Selection(*rest[:4]), rest[4], 16),
        lambda x, *rest: two_recurrences(x, Selection(*rest[:4]), Selection(*rest[:4]), rest[4]),
        leaves,
    )


@pytest.mark.parametrize("chunk", [0, -1])
def test_a_chunk_below_one_is_refused(chunk: int) -> None:
    x, selection, D = draw(case(4))
    with pytest.raises(ValueError, match="chunk"):
        scan_chunked(x, *selection, D, chunk)
    with pytest.raises(ValueError, match="chunk"):
        scan_pair(x, selection, selection, D, chunk)

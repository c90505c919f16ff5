"""The chunked and paired scans against the recurrence, in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lira.scan import Selection, scan_chunked, scan_pair, scan_sequential

TOLERANCE = 1e-10


def draw(seed: int, G: int, N: int, H: int, P: int, S: int) -> tuple[torch.Tensor, Selection, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    selection = Selection(normal(G, N, H).abs(), -normal(G, N, H).abs(), normal(G, N, S), normal(G, N, S))
    return normal(G, N, H, P), selection, normal(H)


def flip(selection: Selection) -> Selection:
    return Selection(*(item.flip(1) for item in selection))


shapes = st.tuples(
    st.integers(0, 2**31),
    st.integers(1, 2),
    st.integers(1, 400),
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 4),
)


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert float((found - wanted).abs().max()) <= TOLERANCE * max(1.0, float(wanted.abs().max()))


def test_the_recurrence_matches_a_hand_computed_case() -> None:
    x = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1)
    dt, A = torch.full((1, 2, 1), 0.5), torch.full((1, 2, 1), -2.0)
    B, C = torch.tensor([[[3.0], [4.0]]]), torch.tensor([[[5.0], [6.0]]])
    h_1 = 0.5 * 3 * 1
    h_2 = torch.exp(torch.tensor(-1.0)).item() * h_1 + 0.5 * 4 * 2
    y = scan_sequential(x, dt, A, B, C, torch.tensor([7.0])).flatten().tolist()
    assert y == pytest.approx([5 * h_1 + 7 * 1, 6 * h_2 + 7 * 2], rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, chunk=st.integers(1, 450))
def test_chunked_equals_sequential_for_any_length_and_chunk(shape: tuple[int, ...], chunk: int) -> None:
    x, selection, D = draw(*shape)
    close(scan_chunked(x, *selection, D, chunk), scan_sequential(x, *selection, D))


@settings(max_examples=40, deadline=None)
@given(shape=shapes, chunk=st.integers(1, 450))
def test_a_pair_equals_a_forward_and_a_flipped_recurrence(shape: tuple[int, ...], chunk: int) -> None:
    x, forward, D = draw(*shape)
    _, backward, D_b = draw(shape[0] + 1, *shape[1:])
    wanted = scan_sequential(x, *forward, D) + scan_sequential(x.flip(1), *flip(backward), D_b).flip(1)
    close(scan_pair(x, forward, backward, D + D_b, chunk), wanted)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), N=st.integers(1, 90), chunk=st.integers(1, 100))
def test_gradients_of_chunked_equal_those_of_sequential(seed: int, N: int, chunk: int) -> None:
    x, selection, D = draw(seed, 1, N, 2, 3, 2)
    leaves = [item.requires_grad_() for item in (x, *selection, D)]
    weight = torch.randn_like(x)
    wanted = torch.autograd.grad((scan_sequential(*leaves) * weight).sum(), leaves)
    found = torch.autograd.grad((scan_chunked(*leaves, chunk) * weight).sum(), leaves)
    for a, b in zip(found, wanted, strict=True):
        close(a, b)


def test_hard_decay_leaves_no_nan_and_no_memory() -> None:
    x, selection, D = draw(0, 1, 70, 1, 2, 3)
    hard = selection._replace(A=selection.A - 1e4, dt=selection.dt + 1.0)
    y = scan_chunked(x, *hard, D, 16)
    assert torch.isfinite(y).all()
    alone = (hard.C * hard.B).sum(-1)[..., None, None] * hard.dt[..., None] * x + D[:, None] * x
    close(y, alone)


@pytest.mark.parametrize("chunk", [0, -1])
def test_a_chunk_below_one_is_refused(chunk: int) -> None:
    x, selection, D = draw(0, 1, 4, 1, 1, 1)
    with pytest.raises(ValueError, match="chunk"):
        scan_chunked(x, *selection, D, chunk)

"""Selective state-space scan in the head form of Mamba-2 (SSD, arXiv 2405.21060).

    h_t = exp(A_t dt_t) h_{t-1} + dt_t B_t x_t        A_t < 0
    y_t = C_t . h_t + D x_t

Letters, as in the paper:
    G   batch of independent sequences           N   tokens in a sequence
    H   heads                                    P   channels of a head
    S   entries of the state (d_state)           Q   tokens in a chunk,  K = ceil(N / Q) chunks
    x   values (G, N, H, P)                      dt  step sizes (G, N, H), dt >= 0
    A   decay rates (G, N, H), A < 0             B   input map (G, N, S)     C  output map (G, N, S)
    D   skip (H,)                                a   log-decay of one token, dt * A
    L   cumulative sum of a within a chunk       M   the chunk's Q x Q token mixing matrix of one head
    T   which tokens lie between which: a @ T    gap  log-decay from token to token, L_i - L_j = (a @ T)_ij

`scan_sequential` is the recurrence to the letter and serves as the oracle. `scan_chunked` and `scan_pair` compute the
same with static shapes, at rank <= 5, from matmul, exp, add, sub, mul, min, sum, concatenation, reshape, transpose and
constant triangles, and where the chunk does not divide N a pad and a crop, so that every exporter can lower them; the
cost is linear in N. They compute in float32 at least, under autocast too: decays are differences of sums, which
bfloat16 cannot hold. Decays, dt and D go into the small factors (B, C, M): x is only ever read, by one product where
a chunk holds all tokens.

`segment_sums` takes a gap within a chunk as the sum of its own terms, a @ T with T (Q, Q * Q) constant, instead of as a
difference of two long sums, which float16 cannot hold: for graphs whose tensors are float16. It costs Q^3 products a
chunk, head and direction. Between chunks, where it costs nothing to speak of, every gap is such a sum.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

CARRY_GROUP = 32
"""Chunk states that one decay matmul combines; longer runs of chunks recurse, which keeps the cost linear."""


class Selection(NamedTuple):
    """What one direction selects for every token: dt and A (G, N, H), B and C (G, N, S)."""

    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor


def scan_sequential(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The recurrence, token by token.

    Args:
        x: (G, N, H, P). dt, A: (G, N, H). B, C: (G, N, S). D: (H,). One float dtype.

    Returns:
        y: (G, N, H, P), dtype of x.
    """
    G, N, H, P = x.shape
    h = x.new_zeros(G, H, P, B.shape[-1])
    decay, input_ = torch.exp(A * dt), x * dt[..., None]
    outputs = []
    for t in range(N):
        h = decay[:, t, :, None, None] * h + input_[:, t, :, :, None] * B[:, t, None, None, :]
        outputs.append((h * C[:, t, None, None, :]).sum(-1))
    return torch.stack(outputs, dim=1) + D[:, None] * x


def scan_chunked(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, chunk: int, segment_sums: bool = False
) -> Tensor:
    """`scan_sequential` by chunks of `chunk` tokens; any N, padded and cropped where chunk does not divide it.

    Shapes as in `scan_sequential`; the result is float32 at least. segment_sums: see the module.

    Raises:
        ValueError: chunk < 1.
    """
    return _mix(x, (Selection(dt, A, B, C),), (False,), D, chunk, segment_sums)


def scan_pair(
    x: Tensor, forward: Selection, backward: Selection, D: Tensor | None, chunk: int, segment_sums: bool = False
) -> Tensor:
    """Sum of a forward and a backward scan over one layout of the tokens, reading x once for both.

    Equals `scan_sequential(x, *forward, D_f) + flip(scan_sequential(flip(x), *flip(backward), D_b))`, D = D_f + D_b.

    Args:
        x: (G, N, H, P). forward, backward: one `Selection` each. D: (H,), the sum of both skips, or None for no skip.
        segment_sums: see the module.

    Returns:
        y: (G, N, H, P), dtype of x, float32 at least.

    Raises:
        ValueError: chunk < 1.
    """
    return _mix(x, (forward, backward), (False, True), D, chunk, segment_sums)


def _mix(
    x: Tensor,
    selections: tuple[Selection, ...],
    reverse: tuple[bool, ...],
    D: Tensor | None,
    chunk: int,
    segment_sums: bool,
) -> Tensor:
    """Sum over directions of C . h, and D x."""
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    x = _at_least_float32(x)
    selections = tuple(Selection(*map(_at_least_float32, selection)) for selection in selections)
    if torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return _mix(x, selections, reverse, D, chunk, segment_sums)
    G, N, H, P = x.shape
    Q = min(chunk, N)
    K = -(-N // Q)
    values = _chunks(x, K, Q).transpose(1, 2)
    parts = [_Chunk.of(selection, backwards, K, Q) for selection, backwards in zip(selections, reverse, strict=True)]
    M = _token_mixing(parts, _segment_gap(parts, reverse) if segment_sums else _difference_gap(parts))
    if D is not None:
        M = M + D[:, None, None] * _constant(np.eye(Q), D)
    y = M @ values
    if K > 1:
        y = y + _between_chunks(parts, reverse, values, G, K)
    y = y.transpose(1, 2)
    return y if K == 1 else y.reshape(G, K * Q, H, P)[:, :N]


class _Chunk(NamedTuple):
    """The small factors of one direction, per chunk (GK = G * K).

    dt, a and L (GK, H, Q); B and C (GK, Q, S); CB (GK, Q, Q) is C B^T where a token may look, 0 elsewhere.
    """

    dt: Tensor
    a: Tensor
    L: Tensor
    B: Tensor
    C: Tensor
    CB: Tensor
    total: Tensor
    """(GK, H), the chunk's whole log-decay."""

    @staticmethod
    def of(selection: Selection, backwards: bool, K: int, Q: int) -> "_Chunk":
        dt, A, B, C = (_chunks(item, K, Q) for item in selection)
        dt, a = dt.transpose(1, 2), (dt * A).transpose(1, 2)
        past = _constant(_looks(Q, backwards), a)
        # A single matrix product LiteRT would turn into a layer, whose weight XNNPACK wants constant.
        B_t = B.transpose(1, 2)
        CB = C @ B_t if len(C) > 1 else (C.transpose(1, 2)[..., None] * B_t[:, :, None]).sum(1)
        return _Chunk(dt, a, a @ past.T, B, C, CB * past, a.sum(-1))


def _token_mixing(parts: list[_Chunk], gap: Tensor) -> Tensor:
    """M (GK, H, Q, Q), summed over the directions: exp(gap_ij) C_i . B_j dt_j."""
    weights = [part.CB[:, None] * part.dt[..., None, :] for part in parts]
    return torch.exp(gap) * (weights[0] if len(weights) == 1 else weights[0] + weights[1])


def _difference_gap(parts: list[_Chunk]) -> Tensor:
    """The gaps (GK, H, Q, Q) of all directions in one, from cumulative sums.

    A direction's L_i - L_j is its log-decay where it looks and positive elsewhere, where the opposite direction's, or
    zero, is smaller: one minimum serves both, and nothing can overflow before CB masks it.
    """
    gaps = [part.L[..., :, None] - part.L[..., None, :] for part in parts]
    return torch.minimum(*gaps) if len(gaps) == 2 else torch.clamp(gaps[0], max=0.0)


def _segment_gap(parts: list[_Chunk], reverse: tuple[bool, ...]) -> Tensor:
    """As `_difference_gap`, each gap the sum of its own terms: where a direction does not look, its T is 0."""
    a = torch.cat([part.a for part in parts], dim=-1)
    Q = a.shape[-1] // len(parts)
    T = np.concatenate([_between(_looks(Q, backwards), _follows(Q, backwards)) for backwards in reverse])
    return (a @ _constant(T, a)).reshape(*a.shape[:2], Q, Q)


def _looks(Q: int, backwards: bool) -> NDArray[np.float64]:
    """(Q, Q), 1 where token i looks at token j, itself included."""
    return np.tri(Q).T if backwards else np.tri(Q)


def _follows(Q: int, backwards: bool) -> NDArray[np.float64]:
    """(Q, Q), 1 where token i is read after token j."""
    return _looks(Q, backwards) - np.eye(Q)


def _between(upto: NDArray[np.float64], since: NDArray[np.float64]) -> NDArray[np.float64]:
    """T (Q, Q * Q): row q is 1 at the pairs (i, j) where upto[i, q] and since[q, j] are 1, both (Q, Q)."""
    Q = len(upto)
    return (upto.T[:, :, None] * since[:, None, :]).reshape(Q, Q * Q)


def _constant(values: NDArray[np.float64], like: Tensor) -> Tensor:
    if like.device.type != "cuda":
        return torch.tensor(values, dtype=like.dtype, device=like.device)
    # Made on the GPU's side it would wait for all work that is queued there.
    return torch.tensor(values, dtype=like.dtype).to(like.device, non_blocking=True)


def _between_chunks(parts: list[_Chunk], reverse: tuple[bool, ...], values: Tensor, G: int, K: int) -> Tensor:
    """What every token reads from the chunks before it (after it, for a backward direction): (GK, H, Q, P)."""
    _, H, Q, P = values.shape
    S = parts[0].B.shape[-1]
    ends = [p.a @ _constant(_follows(Q, backwards), p.a) for p, backwards in zip(parts, reverse, strict=True)]
    write = [p.B.transpose(1, 2)[:, None] * (p.dt * torch.exp(e))[:, :, None] for p, e in zip(parts, ends, strict=True)]
    read = [p.C[:, None] * torch.exp(p.L)[..., None] for p in parts]
    added = torch.cat(write, dim=2) @ values
    states = []
    for index, (part, backwards) in enumerate(zip(parts, reverse, strict=True)):
        state = added[:, :, index * S : (index + 1) * S].reshape(G, K, H, S * P).transpose(1, 2)
        entry = _carry(state, part.total.reshape(G, K, H).transpose(1, 2), backwards)
        states.append(entry.transpose(1, 2).reshape(G * K, H, S, P))
    return torch.cat(read, dim=3) @ torch.cat(states, dim=2)


def _carry(state: Tensor, total: Tensor, backwards: bool) -> Tensor:
    """State on entry to each chunk from what each chunk adds: H_k = exp(total_{k-1}) H_{k-1} + state_{k-1}.

    state: (G, H, K, S*P); total: (G, H, K), each chunk's log-decay; returns the shape of `state`.
    """
    G, H, K, width = state.shape
    R = min(K, CARRY_GROUP)
    groups = -(-K // R)
    if pad := groups * R - K:
        state, total = F.pad(state, (0, 0, 0, pad)), F.pad(total, (0, pad))
    state, total = state.reshape(G * H, groups, R, width), total.reshape(G * H, groups, R)
    follows = _follows(R, backwards)
    gap = (total @ _constant(_between(follows, follows), total)).reshape(G * H, groups, R, R)
    entry = (_constant(follows, state) * torch.exp(gap)) @ state
    if groups > 1:
        whole = torch.exp(total @ _constant(follows, total))[..., None, :] @ state
        entering = _carry(whole.reshape(G, H, groups, width), total.sum(-1).reshape(G, H, groups), backwards)
        passed = torch.exp(total @ _constant(follows.T, total))[..., None]
        entry = entry + passed * entering.reshape(G * H, groups, 1, width)
    entry = entry.reshape(G, H, groups * R, width)
    return entry[:, :, :K] if pad else entry


def _at_least_float32(item: Tensor) -> Tensor:
    return item if item.dtype in (torch.float32, torch.float64) else item.float()


def _chunks(item: Tensor, K: int, Q: int) -> Tensor:
    """(G, N, ...) -> (G * K, Q, ...), zeros behind the last token: dt = 0 there, so they add and decay nothing."""
    G, N, *rest = item.shape
    if K * Q != N:
        item = F.pad(item, (0, 0) * len(rest) + (0, K * Q - N))
    return item if K == 1 else item.reshape(G * K, Q, *rest)

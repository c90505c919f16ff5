"""The sublayers of a LiRA block, on tokens that keep their grid: (B, h, w, d), channels last.

Letters: B batch, h rows and w columns of tokens, N = h * w, d = d_model, E = d_scan, F = d_ffn, M text tokens,
S state entries, H heads, P = E / H.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira.presets import Preset
from lira.scan import Selection, scan_pair

DIRECTIONS = 4
"""Left-right, right-left, top-bottom, bottom-top, in this order wherever directions are stored."""
LAYOUTS = 2
"""Rows, scanned by the first two directions, and columns, by the last two."""


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """AdaLN (DiT, arXiv 2212.09748): layer norm without weights, then shift and scale (B, d) from the conditioning."""
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale[:, None, None]) + shift[:, None, None]


def sincos_positions(height: int, width: int, channels: int) -> Tensor:
    """Fixed 2-D sine-cosine position embedding (h, w, channels) over coordinates in [0, 1]: any resolution."""
    frequencies = math.pi * torch.exp(torch.linspace(0.0, math.log(32.0), channels // 4))
    rows, columns = (((torch.arange(size) + 0.5) / size)[:, None] * frequencies for size in (height, width))
    rows = torch.cat([rows.sin(), rows.cos()], -1)[:, None].expand(height, width, -1)
    columns = torch.cat([columns.sin(), columns.cos()], -1)[None].expand(height, width, -1)
    return torch.cat([rows, columns], -1)


class SelectiveScan2D(nn.Module):
    """Four-direction selective scan, fused by a learned gate: y = g * mean(four scans) + (1 - g) * x.

    Every row is a sequence for two opposite directions and every column for the other two, so that neighbours in a
    sequence are neighbours in the picture; opposite directions share a pass over the values x. dt, A, B, C and D are
    each direction's own. `maps` computes, for rows and then for columns, B (2 S) and C (2 S), forward before backward;
    `rates` computes dt (4 H) and then A (4 H), by direction.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.heads, self.states, self.chunk = preset.scan_heads, preset.d_state, preset.chunk
        self.value = nn.Linear(preset.d_model, preset.d_scan)
        self.gate = nn.Linear(preset.d_model, preset.d_scan)
        self.maps = nn.Linear(preset.d_model, DIRECTIONS * 2 * self.states)
        self.rates = nn.Linear(preset.d_model, DIRECTIONS * 2 * self.heads)
        self.D = nn.Parameter(torch.full((DIRECTIONS, self.heads), 1.0 / DIRECTIONS))
        self.out_proj = nn.Linear(preset.d_scan, preset.d_model, bias=False)
        self._init_selection()

    def _init_selection(self) -> None:
        """Steps dt log-uniform in [0.02, 0.5] (as Mamba, for shorter sequences); decay rates A near -1."""
        with torch.no_grad():
            self.maps.bias.zero_()
            dt = torch.exp(torch.empty(DIRECTIONS * self.heads).uniform_(math.log(0.02), math.log(0.5)))
            self.rates.bias[: len(dt)] = dt + torch.log(-torch.expm1(-dt))
            self.rates.bias[len(dt) :] = 0.54

    def forward(self, u: Tensor) -> Tensor:
        """u: (B, h, w, d) -> (B, h, w, d)."""
        x = self.value(u)
        rows, columns = self.maps(u).chunk(LAYOUTS, dim=-1)
        dt, A = self.steps_and_decays(u)
        row_dt, column_dt = dt.chunk(LAYOUTS, dim=-1)
        row_A, column_A = A.chunk(LAYOUTS, dim=-1)
        change = self._along_rows(x, rows, row_dt, row_A, self.skip())
        x_t, columns, column_dt, column_A = (item.transpose(1, 2) for item in (x, columns, column_dt, column_A))
        change = change + self._along_rows(x_t, columns, column_dt, column_A, None).transpose(1, 2)
        return self.out_proj(x + torch.sigmoid(self.gate(u)) * change.to(x.dtype))

    def steps_and_decays(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """dt >= 0 and A <= 0, each (..., 4 H), from the sublayer's input (..., d)."""
        dt, A = F.softplus(self.rates(u)).chunk(2, dim=-1)
        return dt, -A

    def skip(self) -> Tensor:
        """What multiplies x (H,) in `mean(four scans) - x`: the mean of D, less 1."""
        return self.D.mean(0) - 1

    def selections(self, maps: Tensor, dt: Tensor, A: Tensor) -> tuple[Selection, Selection]:
        """Forward and backward `Selection` of one layout; maps (G, N, 4 S), dt and A (G, N, 2 H).

        The mean's 1/4 is taken on C, the smallest factor of the output.
        """
        S, H = self.states, self.heads
        B_f, B_b, C = maps.split([S, S, 2 * S], dim=-1)
        C_f, C_b = (C / DIRECTIONS).chunk(2, dim=-1)
        (dt_f, dt_b), (A_f, A_b) = dt.split(H, dim=-1), A.split(H, dim=-1)
        return Selection(dt_f, A_f, B_f, C_f), Selection(dt_b, A_b, B_b, C_b)

    def _along_rows(self, x: Tensor, maps: Tensor, dt: Tensor, A: Tensor, D: Tensor | None) -> Tensor:
        """Both directions along the rows of x (B, h, w, E), as sequences of their own."""
        x_heads, maps, dt, A = (item.flatten(0, 1) for item in (x.unflatten(-1, (self.heads, -1)), maps, dt, A))
        return scan_pair(x_heads, *self.selections(maps, dt, A), D, self.chunk).reshape(x.shape)


class MixFFN(nn.Module):
    """Mix-FFN (SegFormer, arXiv 2105.15203): expand, 3x3 depthwise convolution, ReLU, contract.

    The convolution has the only bias: with ReLU behind it (SegFormer: GELU) the hidden layer can stay in 8 bits from
    the first product to the second.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.fc1 = nn.Linear(preset.d_model, preset.d_ffn, bias=False)
        self.conv = nn.Conv2d(preset.d_ffn, preset.d_ffn, 3, padding=1, groups=preset.d_ffn)
        self.fc2 = nn.Linear(preset.d_ffn, preset.d_model, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """u: (B, h, w, d) -> (B, h, w, d)."""
        hidden = torch.relu(self.conv(self.fc1(u).permute(0, 3, 1, 2)))
        return self.fc2(hidden.permute(0, 2, 3, 1))


class CrossStateFusion(nn.Module):
    """Gated read of the text through one state a head, S = K^T V / M: out = g * (Q S) + (1 - g) * x, O(N d^2).

    Returned as the change `g * (Q S - x)` that a residual connection adds to x.
    """

    def __init__(self, preset: Preset, d_text: int) -> None:
        super().__init__()
        d = preset.d_model
        self.heads = d // preset.fusion_head_width
        self.query = nn.Linear(d, d)
        self.gate = nn.Linear(d, d)
        self.key_value = nn.Linear(d_text, 2 * d)
        nn.init.constant_(self.gate.bias, -2.0)

    def text_state(self, text: Tensor) -> Tensor:
        """text (B, M, d_text), normalised -> S (B, heads, d_h, d_h); depends on the prompt alone."""
        key, value = (half.unflatten(-1, (self.heads, -1)) for half in self.key_value(text).chunk(2, dim=-1))
        return key.permute(0, 2, 3, 1) @ value.transpose(1, 2) / text.shape[1]

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x: (B, h, w, d) tokens, text: (B, M, d_text) normalised text states -> change of x (B, h, w, d)."""
        u = F.layer_norm(x, x.shape[-1:])
        query = self.query(u).flatten(1, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        read = (query @ self.text_state(text)).transpose(1, 2).reshape(x.shape)
        return torch.sigmoid(self.gate(u)) * (read - x)


class HyperConnection(nn.Module):
    """Static hyper-connection of expansion 2 (arXiv 2409.19606) around one sublayer T, the streams two tensors.

    `matrix` is the paper's (n+1) x (n+1) HC matrix: row 0 is [0, B], the weights of T's output in each stream (its
    first entry is the paper's constant zero and is never read); row i is [A_m, A_r], stream i's weight in T's input and
    in each new stream. It starts with A_m one-hot, B ones and A_r the identity: a pre-norm residual network exactly.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        start = torch.zeros(3, 3)
        start[0, 1:] = 1.0
        start[1 + index % 2, 0] = 1.0
        start[1, 1] = start[2, 2] = 1.0
        self.matrix = nn.Parameter(start)

    def read(self, streams: tuple[Tensor, Tensor]) -> Tensor:
        """Input of the sublayer: A_m^T H."""
        return self.matrix[1, 0] * streams[0] + self.matrix[2, 0] * streams[1]

    def write(self, streams: tuple[Tensor, Tensor], output: Tensor) -> tuple[Tensor, Tensor]:
        """New streams: B^T T + A_r^T H."""
        first, second = (
            self.matrix[0, j] * output + self.matrix[1, j] * streams[0] + self.matrix[2, j] * streams[1] for j in (1, 2)
        )
        return first, second

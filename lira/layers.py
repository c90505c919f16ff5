"""The sublayers of a LiRA block.

Letters: B batch, N = h * w tokens of a grid of h rows and w columns, d = d_model, E = d_scan, F = d_ffn,
M text tokens, S state entries, H heads.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira.presets import Preset
from lira.scan import Selection, scan_pair

Grid = tuple[int, int]
DIRECTIONS = 4
"""Left-right, right-left, top-bottom, bottom-top, in this order wherever directions are stored."""


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """AdaLN (DiT, arXiv 2212.09748): layer norm without weights, then shift and scale (B, d) from the conditioning."""
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale[:, None]) + shift[:, None]


def sincos_positions(grid: Grid, width: int) -> Tensor:
    """Fixed 2-D sine-cosine position embedding (N, width) over coordinates in [0, 1]: any resolution."""
    frequencies = math.pi * torch.exp(torch.linspace(0.0, math.log(32.0), width // 4))
    rows, columns = (((torch.arange(size) + 0.5) / size)[:, None] * frequencies for size in grid)
    rows = torch.cat([rows.sin(), rows.cos()], -1)[:, None].expand(*grid, -1)
    columns = torch.cat([columns.sin(), columns.cos()], -1)[None].expand(*grid, -1)
    return torch.cat([rows, columns], -1).reshape(grid[0] * grid[1], width)


def transpose_grid(x: Tensor, grid: Grid) -> Tensor:
    """Row-major tokens (B, h*w, c) to column-major ones."""
    B, N, c = x.shape
    return x.reshape(B, *grid, c).transpose(1, 2).reshape(B, N, c)


class SelectiveScan2D(nn.Module):
    """Four-direction selective scan, fused by a learned gate: y = g * mean(four scans) + (1 - g) * x.

    Opposite directions share a layout (rows, or columns), so each layout's values are read once. All four share the
    values x; dt, A, B, C and D are each direction's own, computed from the input by `select`, whose output holds, for
    the row layout and then for the column layout: B (2 S), C (2 S), dt (2 H), A (2 H), forward before backward.
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.heads, self.states, self.chunk = preset.scan_heads, preset.d_state, preset.chunk
        self.in_proj = nn.Linear(preset.d_model, 2 * preset.d_scan)
        self.select = nn.Linear(preset.d_model, DIRECTIONS * 2 * (self.states + self.heads))
        self.D = nn.Parameter(torch.full((DIRECTIONS, self.heads), 1.0 / DIRECTIONS))
        self.out_proj = nn.Linear(preset.d_scan, preset.d_model)
        self._init_selection()

    def _init_selection(self) -> None:
        """Steps dt log-uniform in [0.02, 0.5] (as Mamba, for shorter sequences); decay rates A near -1."""
        H, S = self.heads, self.states
        with torch.no_grad():
            bias = self.select.bias.view(2, 4 * S + 4 * H)
            bias.zero_()
            dt = torch.exp(torch.empty(2, 2 * H).uniform_(math.log(0.02), math.log(0.5)))
            bias[:, 4 * S : 4 * S + 2 * H] = dt + torch.log(-torch.expm1(-dt))
            bias[:, 4 * S + 2 * H :] = 0.54

    def selections(self, selected: Tensor) -> tuple[Selection, Selection]:
        """Forward and backward `Selection` of one layout from its half of `select`'s output (B, N, 4 S + 4 H)."""
        S, H = self.states, self.heads
        B_f, B_b, C_f, C_b, dt_f, dt_b, A_f, A_b = selected.split([S, S, S, S, H, H, H, H], dim=-1)
        softplus = F.softplus
        forward = Selection(softplus(dt_f), -softplus(A_f), B_f, C_f)
        return forward, Selection(softplus(dt_b), -softplus(A_b), B_b, C_b)

    def forward(self, u: Tensor, grid: Grid) -> Tensor:
        """u: (B, N, d) row-major tokens of `grid` (h, w) -> (B, N, d)."""
        B, N, _ = u.shape
        x, gate = self.in_proj(u).chunk(2, dim=-1)
        rows, columns = self.select(u).chunk(2, dim=-1)
        y = self._scan_layout(x, rows, self.D[:2])
        columns = transpose_grid(columns, grid)
        y_columns = self._scan_layout(transpose_grid(x, grid), columns, self.D[2:])
        y = (y + transpose_grid(y_columns, (grid[1], grid[0]))) / DIRECTIONS
        return self.out_proj(x + torch.sigmoid(gate) * (y.to(x.dtype) - x))

    def _scan_layout(self, x: Tensor, selected: Tensor, D: Tensor) -> Tensor:
        heads = x.reshape(*x.shape[:2], self.heads, -1)
        return scan_pair(heads, *self.selections(selected), D.sum(0), self.chunk).reshape(x.shape)


class MixFFN(nn.Module):
    """Mix-FFN (SegFormer, arXiv 2105.15203): expand, 3x3 depthwise convolution, GELU, contract."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.fc1 = nn.Linear(preset.d_model, preset.d_ffn)
        self.conv = nn.Conv2d(preset.d_ffn, preset.d_ffn, 3, padding=1, groups=preset.d_ffn)
        self.fc2 = nn.Linear(preset.d_ffn, preset.d_model)

    def forward(self, u: Tensor, grid: Grid) -> Tensor:
        """u: (B, N, d) row-major tokens of `grid` -> (B, N, d)."""
        hidden = self.fc1(u)
        B, N, width = hidden.shape
        image = hidden.transpose(1, 2).reshape(B, width, *grid)
        hidden = self.conv(image).reshape(B, width, N).transpose(1, 2)
        return self.fc2(F.gelu(hidden))


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
        B, M, _ = text.shape
        key, value = self.key_value(text).reshape(B, M, 2, self.heads, -1).unbind(2)
        return key.permute(0, 2, 3, 1) @ value.transpose(1, 2) / M

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """x: (B, N, d) tokens, text: (B, M, d_text) normalised text states -> change of x (B, N, d)."""
        B, N, d = x.shape
        u = F.layer_norm(x, (d,))
        query = self.query(u).reshape(B, N, self.heads, -1).transpose(1, 2)
        read = (query @ self.text_state(text)).transpose(1, 2).reshape(B, N, d)
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

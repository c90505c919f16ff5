"""Traceable twin of `lira.model.LiRAModel` for one latent size; same parameter names, so weights load strictly.

What differs from the eager model: batch 1 and sizes fixed, so that every shape is a constant; positions a buffer;
hyper-connections in the basis of `rewrite.streams`; rows and columns of
the scan cut from the tokens by one transpose each; the reasoning loop runs all its steps with an `alive` multiplier
that freezes a plan that has halted; the steps taken are an output.
"""

import math
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira.layers import LAYOUTS, HyperConnection, SelectiveScan2D, sincos_positions
from lira.model import Block, LiRAModel, TimeEmbedding
from lira.presets import Preset
from lira.reasoning import HALT_ABOVE, LEAST_STEPS, OVERVIEW_SIDE, Reasoned, ReasoningLoop
from lira.scan import Selection, scan_chunked, scan_pair
from lira_export.rewrite.streams import StreamPlan, Update, plan_streams


class TraceableReasoning(ReasoningLoop):
    """The loop unrolled to its most steps; bit for bit the plan and the step count of the early exit."""

    def __init__(self, preset: Preset, d_text: int, segment_sums: bool = False) -> None:
        super().__init__(preset, d_text)
        self.segment_sums = segment_sums

    def forward(self, tokens: Tensor, text: Tensor, time: Tensor) -> Reasoned:
        """As `ReasoningLoop.forward`, without control flow that depends on data."""
        thought = self.prepare(tokens, text, time)
        r = self.first(thought)
        alive = torch.ones(len(r), 1, dtype=r.dtype, device=r.device)
        steps = torch.zeros_like(alive)
        for k in range(1, self.most_steps + 1):
            following, s = self.step(thought, r)
            r = alive * following + (1 - alive) * r
            steps = steps + alive
            if LEAST_STEPS <= k < self.most_steps:
                alive = alive * (1 - opened(s))
        return Reasoned(r, steps[:, 0])

    def _scan(self, x: Tensor, selection: Selection) -> Tensor:
        return scan_chunked(x, *selection, self.D, OVERVIEW_SIDE**2, self.segment_sums)


def opened(s: Tensor) -> Tensor:
    """1 where a stop gate s, at most 1, is above tau and 0 elsewhere, exactly: comparisons are not lowered everywhere.

    The least s above tau is half an epsilon above it. The factor comes in two halves, so that float16 holds them too.
    """
    root = 2.0 ** math.ceil(math.log2(2 / torch.finfo(s.dtype).eps) / 2)
    over = torch.clamp(torch.relu(s - HALT_ABOVE) * root, max=1.0)
    return torch.clamp(over * root, max=1.0)


class TraceableScan(SelectiveScan2D):
    """Rows are (h, w, H, P) and columns (w, h, H, P) views of one tensor, the batch of 1 being left out."""

    def __init__(self, preset: Preset, segment_sums: bool) -> None:
        super().__init__(preset)
        self.segment_sums = segment_sums

    def forward(self, u: Tensor) -> Tensor:
        """u: (1, h, w, d) -> (1, h, w, d)."""
        x = self.value(u)
        heads = x.reshape(*x.shape[1:3], self.heads, -1)
        maps = self.maps(u)[0].chunk(LAYOUTS, dim=-1)
        dt, A = (item[0].chunk(LAYOUTS, dim=-1) for item in self.steps_and_decays(u))
        rows = self.selections(maps[0], dt[0], A[0])
        columns = self.selections(*(item.transpose(0, 1) for item in (maps[1], dt[1], A[1])))
        change = scan_pair(heads, *rows, self.skip(), self.chunk, self.segment_sums)
        across = scan_pair(heads.transpose(0, 1), *columns, None, self.chunk, self.segment_sums)
        change = change + across.transpose(0, 1)
        return self.out_proj(x + torch.sigmoid(self.gate(u)) * change.reshape(x.shape))


class TraceableBlock(Block):
    """Twin of `lira.model.Block`, on what its sublayers read instead of on the streams."""

    def __init__(self, preset: Preset, index: int, d_text: int, segment_sums: bool) -> None:
        super().__init__(preset, index, d_text)
        self.scan = TraceableScan(preset, segment_sums)

    def connections(self) -> list[HyperConnection]:
        """Of the block's sublayers, in order."""
        fusion = [] if self.fusion is None else [self.fusion_connection]
        return [self.scan_connection, self.ffn_connection, *fusion]

    def forward(  # type: ignore[override]
        self, r: Tensor, q: Tensor, skipped: Tensor | None, cond: Tensor, text: Tensor, updates: tuple[Update, ...]
    ) -> tuple[Tensor, Tensor]:
        """r, q, skipped (1, h, w, d); cond (1, d_cond); text (1, M, d_text) normalised -> the new r and q."""
        shift_s, scale_s, gate_s, shift_f, scale_f, gate_f = self.modulation(cond).flatten().split(r.shape[-1])
        output = self.scan(modulated(r, shift_s, scale_s))
        skip = None if self.skip is None or skipped is None else (self.skip, skipped)
        r, q = _write(updates[0], r, q, output, gate_s, skip)
        output = self.ffn(modulated(r, shift_f, scale_f))
        r, q = _write(updates[1], r, q, output, gate_f, None)
        if self.fusion is not None:
            output = self.fusion(r, text)
            r, q = updates[2].apply(r, q, updates[2].ro * output, output)
        return r, q


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`lira.layers.modulate` for a batch of 1: shift and scale (d,)."""
    return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


def _write(
    update: Update, r: Tensor, q: Tensor, output: Tensor, gate: Tensor, skip: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Write gate * output + skip[0] * skip[1]; the gate (d,) meets the update's factor before it meets the tokens."""
    read_change = (update.ro * gate) * output
    whole = gate * output if update.qo else None
    if skip is not None:
        read_change = read_change + (update.ro * skip[0]) * skip[1]
        whole = None if whole is None else whole + skip[0] * skip[1]
    return update.apply(r, q, read_change, whole)


class TraceableDenoiser(nn.Module):
    """Twin of `LiRAModel` for latents of `latent_hw` = (h, w)."""

    plan: StreamPlan
    positions: Tensor

    def __init__(self, eager: LiRAModel, latent_hw: tuple[int, int], segment_sums: bool) -> None:
        super().__init__()
        self.preset = preset = eager.preset
        self.patch_size = p = eager.patch_size
        self.grid = (latent_hw[0] // p, latent_hw[1] // p)
        self.register_buffer("positions", torch.zeros(1, *self.grid, preset.d_model), persistent=False)
        self.patch_embedding = nn.Conv2d(eager.in_channels, preset.d_model, p, stride=p)
        self.text_norm = nn.LayerNorm(eager.d_text)
        self.time_embedding = TimeEmbedding(preset.d_cond)
        self.reasoning = TraceableReasoning(preset, eager.d_text, segment_sums)
        self.blocks = nn.ModuleList(TraceableBlock(preset, i, eager.d_text, segment_sums) for i in range(preset.blocks))
        self.final_modulation = nn.Linear(preset.d_cond, 2 * preset.d_model)
        self.final_proj = nn.Linear(preset.d_model, p**2 * eager.in_channels)

    def forward(self, latent: Tensor, timestep: Tensor, text_states: Tensor) -> tuple[Tensor, Tensor]:
        """latent (1, C, h, w), timestep (1,), text_states (1, 77, d_text) -> velocity, reasoning_steps int32."""
        text = self.text_norm(text_states)
        tokens = self.patch_embedding(latent).permute(0, 2, 3, 1) + self.positions
        time = self.time_embedding(timestep)
        reasoned = self.reasoning(tokens, text, time)
        cond = F.silu(time + self.reasoning.out_proj(reasoned.plan))
        r = self._run_blocks(tokens, cond, text)
        shift, scale = self.final_modulation(cond).flatten().chunk(2)
        velocity = self.final_proj(modulated(r, shift, scale)).permute(0, 3, 1, 2)
        if self.patch_size > 1:
            velocity = F.pixel_shuffle(velocity, self.patch_size)
        return velocity, reasoned.steps.to(torch.int32)

    def _run_blocks(self, tokens: Tensor, cond: Tensor, text: Tensor) -> Tensor:
        r, q = self.plan.first_r * tokens, self.plan.first_q * tokens
        updates, skips = iter(self.plan.updates), []
        for index, block in enumerate(cast(Iterable[TraceableBlock], self.blocks)):
            if 1 <= index <= self.preset.blocks // 2:
                skips.append(r)
            own = tuple(next(updates) for _ in block.connections())
            r, q = block(r, q, skips.pop() if block.skip is not None else None, cond, text, own)
        return r


def traceable_denoiser(eager: LiRAModel, latent_hw: tuple[int, int], segment_sums: bool = False) -> TraceableDenoiser:
    """The twin of `eager` with its weights, in evaluation mode; segment_sums: see `lira.scan`, for float16 graphs.

    Raises BadInput as `plan_streams` does.
    """
    with torch.device("meta"):
        twin = TraceableDenoiser(eager, latent_hw, segment_sums)
    twin.load_state_dict(eager.state_dict(), strict=True, assign=True)
    twin.positions = sincos_positions(*twin.grid, twin.preset.d_model)[None].to(eager.final_proj.weight)
    twin.time_embedding.frequencies = eager.time_embedding.frequencies
    matrices = [
        each.matrix.detach().double().numpy()
        for block in cast(Iterable[TraceableBlock], twin.blocks)
        for each in block.connections()
    ]
    twin.plan = plan_streams(matrices)
    return twin.eval()

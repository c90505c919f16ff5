"""Traceable twin of `lira.model.LiRAModel` for one latent size; same parameter names, so weights load strictly.

What differs from the eager model: batch 1 and sizes fixed, so that every shape is a constant; positions a buffer; the
reasoning loop runs all its steps with an `alive` multiplier that freezes a plan that has halted; the steps taken are
an output.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira.layers import CrossStateFusion, Grid, HyperConnection, MixFFN, SelectiveScan2D, modulate, sincos_positions
from lira.model import LiRAModel, TimeEmbedding
from lira.presets import Preset
from lira.reasoning import HALT_ABOVE, LEAST_STEPS, Reasoned, ReasoningLoop


class TraceableReasoning(ReasoningLoop):
    """The loop unrolled to its most steps; bit for bit the plan and the step count of the early exit."""

    def forward(self, tokens: Tensor, text: Tensor, time: Tensor) -> Reasoned:
        """As `ReasoningLoop.forward`, without control flow that depends on data."""
        thought = self.prepare(tokens, text, time)
        r = self.first(thought)
        alive = torch.ones_like(r[:, :1])
        steps = torch.zeros_like(r[:, :1])
        for k in range(1, self.most_steps + 1):
            following, s = self.step(thought, r)
            r = alive * following + (1 - alive) * r
            steps = steps + alive
            if LEAST_STEPS <= k < self.most_steps:
                alive = alive * (s <= HALT_ABOVE).to(alive.dtype)
        return Reasoned(r, steps[:, 0])


class TraceableBlock(nn.Module):
    """Twin of `lira.model.Block`; `skip` scales the mirror block's output where there is one."""

    def __init__(self, preset: Preset, index: int, d_text: int, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self.modulation = nn.Linear(preset.d_cond, 6 * preset.d_model)
        self.scan = SelectiveScan2D(preset)
        self.scan_connection = HyperConnection(2 * index)
        self.ffn = MixFFN(preset)
        self.ffn_connection = HyperConnection(2 * index + 1)
        self.has_fusion = (index + 1) % preset.fusion_every == 0
        if self.has_fusion:
            self.fusion = CrossStateFusion(preset, d_text)
            self.fusion_connection = HyperConnection(2 * index)
        self.has_skip = index >= (preset.blocks + 1) // 2
        if self.has_skip:
            self.skip = nn.Parameter(torch.zeros(preset.d_model))

    def forward(
        self, first: Tensor, second: Tensor, skipped: Tensor | None, cond: Tensor, text: Tensor
    ) -> tuple[Tensor, Tensor]:
        """first, second (1, N, d): the streams; cond (1, d_cond); text (1, M, d_text) normalised -> the new streams."""
        if skipped is not None:
            change = self.skip * skipped
            first, second = first + change, second + change
        shift_s, scale_s, gate_s, shift_f, scale_f, gate_f = self.modulation(cond).chunk(6, dim=-1)
        u = modulate(self.scan_connection.read((first, second)), shift_s, scale_s)
        first, second = self.scan_connection.write((first, second), gate_s[:, None] * self.scan(u, self.grid))
        u = modulate(self.ffn_connection.read((first, second)), shift_f, scale_f)
        first, second = self.ffn_connection.write((first, second), gate_f[:, None] * self.ffn(u, self.grid))
        if self.has_fusion:
            x = self.fusion_connection.read((first, second))
            first, second = self.fusion_connection.write((first, second), self.fusion(x, text))
        return first, second


class TraceableDenoiser(nn.Module):
    """Twin of `LiRAModel` for latents of `latent_hw` = (h, w)."""

    def __init__(self, eager: LiRAModel, latent_hw: tuple[int, int]) -> None:
        super().__init__()
        self.preset = preset = eager.preset
        self.patch_size = p = eager.patch_size
        self.grid = grid = (latent_hw[0] // p, latent_hw[1] // p)
        self.register_buffer("positions", sincos_positions(grid, preset.d_model)[None], persistent=False)
        self.patch_embedding = nn.Conv2d(eager.in_channels, preset.d_model, p, stride=p)
        self.text_norm = nn.LayerNorm(eager.d_text)
        self.time_embedding = TimeEmbedding(preset.d_cond)
        self.reasoning = TraceableReasoning(preset, eager.d_text)
        self.blocks = nn.ModuleList(TraceableBlock(preset, i, eager.d_text, grid) for i in range(preset.blocks))
        self.final_modulation = nn.Linear(preset.d_cond, 2 * preset.d_model)
        self.final_proj = nn.Linear(preset.d_model, p**2 * eager.in_channels)

    def forward(self, latent: Tensor, timestep: Tensor, text_states: Tensor) -> tuple[Tensor, Tensor]:
        """latent (1, C, h, w), timestep (1,), text_states (1, 77, d_text) -> velocity, reasoning_steps int32."""
        text = self.text_norm(text_states)
        tokens = self.patch_embedding(latent).flatten(2).transpose(1, 2) + self.positions
        time = self.time_embedding(timestep)
        reasoned = self.reasoning(tokens, text, time)
        cond = F.silu(time + self.reasoning.out_proj(reasoned.plan))
        first, second = tokens, tokens
        skips: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            skipped = skips.pop() if skips and block.has_skip else None
            first, second = block(first, second, skipped, cond, text)
            if index < self.preset.blocks // 2:
                skips.append((first + second) * 0.5)
        shift, scale = self.final_modulation(cond).chunk(2, dim=-1)
        patches = self.final_proj(modulate((first + second) * 0.5, shift, scale))
        velocity = patches.transpose(1, 2).reshape(1, -1, *self.grid)
        if self.patch_size > 1:
            velocity = F.pixel_shuffle(velocity, self.patch_size)
        return velocity, reasoned.steps.to(torch.int32)


def traceable_denoiser(eager: LiRAModel, latent_hw: tuple[int, int]) -> TraceableDenoiser:
    """The twin of `eager` with its weights, in evaluation mode."""
    with torch.device("meta"):
        twin = TraceableDenoiser(eager, latent_hw)
    twin.load_state_dict(eager.state_dict(), strict=True, assign=True)
    twin.positions = sincos_positions(twin.grid, twin.preset.d_model)[None].to(eager.final_proj.weight)
    twin.time_embedding.frequencies = eager.time_embedding.frequencies
    return twin.eval()

"""LiRA: a linear-time velocity network for latent flow matching.

z_t -> patch embedding -> tokens (B, h, w, d)
tokens, text, t -> latent reasoning loop -> conditioning vector
blocks: AdaLN-Zero -> four-direction selective scan -> Mix-FFN, joined by hyper-connections,
        long skips from block i to block L-1-i; cross-state fusion with the text after every 4th block (nano: 2nd)
final norm + projection -> velocity
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lira.checkpoint import load_module, read_metadata
from lira.layers import CrossStateFusion, HyperConnection, MixFFN, SelectiveScan2D, modulate, sincos_positions
from lira.presets import Preset, get_preset
from lira.reasoning import ReasoningLoop
from lira_runtime.errors import BadInput

TIME_FREQUENCIES = 128
Streams = tuple[Tensor, Tensor]


def wake_zero_weights(model: nn.Module) -> None:
    """Draw the matrices that training starts at zero: a network whose output is zero has nothing to compare."""
    for parameter in model.parameters():
        if parameter.ndim >= 2 and not parameter.any():
            nn.init.normal_(parameter, std=0.5 * parameter[0].numel() ** -0.5)


class TimeEmbedding(nn.Module):
    """t (B,) in [0, 1] -> (B, d_cond): sines and cosines of 1000 t, then an MLP."""

    frequencies: Tensor

    def __init__(self, d_cond: int) -> None:
        super().__init__()
        frequencies = 1000.0 * torch.exp(-math.log(10_000.0) * torch.arange(TIME_FREQUENCIES) / TIME_FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)
        hidden = d_cond // 2
        self.mlp = nn.Sequential(nn.Linear(2 * TIME_FREQUENCIES, hidden), nn.SiLU(), nn.Linear(hidden, d_cond))

    def forward(self, t: Tensor) -> Tensor:
        angles = t[:, None] * self.frequencies
        return self.mlp(torch.cat([angles.sin(), angles.cos()], -1))


class Block(nn.Module):
    """AdaLN-Zero, scan and Mix-FFN, each behind its own hyper-connection; fusion with the text where there is one."""

    def __init__(self, preset: Preset, index: int, d_text: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(preset.d_cond, 6 * preset.d_model)
        self.scan = SelectiveScan2D(preset)
        self.scan_connection = HyperConnection(2 * index)
        self.ffn = MixFFN(preset)
        self.ffn_connection = HyperConnection(2 * index + 1)
        self.fusion: CrossStateFusion | None = None
        if (index + 1) % preset.fusion_every == 0:
            self.fusion = CrossStateFusion(preset, d_text)
            self.fusion_connection = HyperConnection(2 * index)
        self.skip: nn.Parameter | None = None
        if index >= (preset.blocks + 1) // 2:
            self.skip = nn.Parameter(torch.zeros(preset.d_model))

    def read(self, streams: Streams) -> Tensor:
        """What the block reads of the two streams: the input of its scan, and of a long skip; (B, h, w, d)."""
        return self.scan_connection.read(streams)

    def forward(self, streams: Streams, skipped: Tensor | None, cond: Tensor, text: Tensor) -> Streams:
        """streams: two (B, h, w, d); skipped: the mirror block's; cond: (B, d_cond); text: (B, M, d_text)."""
        shift_s, scale_s, gate_s, shift_f, scale_f, gate_f = self.modulation(cond).chunk(6, dim=-1)
        output = gate_s[:, None, None] * self.scan(modulate(self.read(streams), shift_s, scale_s))
        if self.skip is not None and skipped is not None:
            output = output + self.skip * skipped
        streams = self.scan_connection.write(streams, output)
        u = modulate(self.ffn_connection.read(streams), shift_f, scale_f)
        streams = self.ffn_connection.write(streams, gate_f[:, None, None] * self.ffn(u))
        if self.fusion is not None:
            x = self.fusion_connection.read(streams)
            streams = self.fusion_connection.write(streams, self.fusion(x, text))
        return streams


class LiRAModel(nn.Module):
    """Velocity network of a preset.

    Args:
        config_name: a name in `lira.presets.PRESETS`.
        in_channels: channels C of the latent. d_text: width of the text states. patch_size: latent px per token side.

    Raises:
        BadInput: unknown config_name, or a latent whose sides patch_size does not divide.
    """

    def __init__(self, config_name: str, in_channels: int, d_text: int, patch_size: int) -> None:
        super().__init__()
        self.preset = preset = get_preset(config_name)
        self.in_channels, self.d_text, self.patch_size = in_channels, d_text, patch_size
        self.patch_embedding = nn.Conv2d(in_channels, preset.d_model, patch_size, stride=patch_size)
        self.text_norm = nn.LayerNorm(d_text)
        self.time_embedding = TimeEmbedding(preset.d_cond)
        self.reasoning = ReasoningLoop(preset, d_text)
        self.blocks = nn.ModuleList(Block(preset, index, d_text) for index in range(preset.blocks))
        self.final_modulation = nn.Linear(preset.d_cond, 2 * preset.d_model)
        self.final_proj = nn.Linear(preset.d_model, patch_size**2 * in_channels)
        self._init_weights()

    def _init_weights(self) -> None:
        """AdaLN-Zero: every block starts as the identity and the velocity as zero."""
        modulations = [module for name, module in self.named_modules() if name.endswith("modulation")]
        for linear in (*modulations, self.final_proj):
            for parameter in linear.parameters():
                nn.init.zeros_(parameter)

    def forward(self, z_t: Tensor, t: Tensor, text: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Velocity of the flow at z_t.

        Args:
            z_t: (B, C, h, w) noisy latent. t: (B,) in [0, 1], 1 being noise. text: (B, M, d_text).

        Returns:
            v (B, C, h, w), and info: total_steps (B,) int64 reasoning steps taken; in training also halting (B, T).
        """
        self._check(z_t)
        text = self.text_norm(text)
        tokens = self.patch_embedding(z_t).permute(0, 2, 3, 1)
        tokens = tokens + sincos_positions(*tokens.shape[1:]).to(tokens)
        time = self.time_embedding(t)
        reason = self.reasoning.ponder if self.training else self.reasoning
        reasoned = reason(tokens, text, time)
        cond = F.silu(time + self.reasoning.out_proj(reasoned.plan))
        v = self._project(self._run_blocks(tokens, cond, text), cond)
        info = {"total_steps": reasoned.steps}
        if reasoned.halting is not None:
            info["halting"] = reasoned.halting
        return v, info

    def _check(self, z_t: Tensor) -> None:
        height, width = z_t.shape[-2:]
        if height % self.patch_size or width % self.patch_size:
            raise BadInput(f"A latent of {height}x{width} cannot be cut into patches of {self.patch_size}.")

    def _run_blocks(self, tokens: Tensor, cond: Tensor, text: Tensor) -> Tensor:
        """All blocks; returns the mean of the two streams (B, h, w, d).

        The long skip from block i carries what block i + 1 reads, and joins the scan's output in block L - 1 - i.
        """
        streams, half = (tokens, tokens), self.preset.blocks // 2
        skips: list[Tensor] = []
        for index, block in enumerate(cast(Iterable[Block], self.blocks)):
            if 1 <= index <= half:
                skips.append(block.read(streams))
            streams = block(streams, skips.pop() if block.skip is not None else None, cond, text)
        return (streams[0] + streams[1]) / 2

    def _project(self, tokens: Tensor, cond: Tensor) -> Tensor:
        shift, scale = self.final_modulation(cond).chunk(2, dim=-1)
        patches = self.final_proj(modulate(tokens, shift, scale)).permute(0, 3, 1, 2)
        return F.pixel_shuffle(patches, self.patch_size) if self.patch_size > 1 else patches


def load_denoiser(path: Path) -> LiRAModel:
    """The network of a denoiser.safetensors, in evaluation mode. Raises BadInput when it is none, or damaged."""
    stored = read_metadata(path)
    try:
        sizes = [int(stored[name]) for name in ("in_channels", "d_text", "patch_size")]
        model = LiRAModel(stored["config"], *sizes)
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path} does not say which network it belongs to: {error}.") from error
    load_module(model, path)
    return model.eval()

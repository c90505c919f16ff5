"""Traceable twin of `lira.text.TextEncoder`: CLIP's parameter names, without transformers' mask and cache machinery.

Batch 1 and two dimensions throughout: onnxruntime then keeps its residual Add and LayerNormalization apart, and their
fusion is slower.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lira.text import TOKENS, VOCABULARY_SIZE, FactoredEmbedding, TextEncoder


class _Embeddings(nn.Module):
    def __init__(self, token_embedding: nn.Module, width: int) -> None:
        super().__init__()
        self.token_embedding = token_embedding
        self.position_embedding = nn.Embedding(TOKENS, width)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.token_embedding(input_ids) + self.position_embedding.weight


class _Attention(nn.Module):
    """Causal self-attention of CLIP; mask (M, M) is 0 where a token may look, very negative elsewhere.

    Query, key and value are one product. CLIP's three weights are joined when they load, and the scores' scale goes
    into the query's.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.register_load_state_dict_pre_hook(_join_projections)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (M, width) -> (M, width)."""
        M, width = x.shape
        q, k, v = self.qkv_proj(x).reshape(M, 3 * self.heads, -1).transpose(0, 1).split(self.heads)
        mixed = torch.softmax(q @ k.transpose(1, 2) + mask, dim=-1) @ v
        return self.out_proj(mixed.transpose(0, 1).reshape(M, width))


def _join_projections(attention: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    assert isinstance(attention, _Attention)
    for kind in ("weight", "bias"):
        q, k, v = (state.pop(f"{prefix}{name}_proj.{kind}") for name in "qkv")
        scale = (len(q) // attention.heads) ** -0.5
        state[f"{prefix}qkv_proj.{kind}"] = torch.cat([q * scale, k, v])


class _MLP(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        return self.fc2(hidden * torch.sigmoid(1.702 * hidden))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width)
        self.mlp = _MLP(width)
        self.layer_norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class _Encoder(nn.Module):
    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(layers))


class TraceableTextEncoder(nn.Module):
    """CLIP text model of a preset's shape; takes the state of `TextEncoder.clip`."""

    mask: Tensor

    def __init__(self, eager: TextEncoder) -> None:
        super().__init__()
        preset = eager.preset
        table: nn.Module = nn.Embedding(VOCABULARY_SIZE, preset.width)
        if preset.table_rank:
            table = FactoredEmbedding(VOCABULARY_SIZE, preset.table_rank, preset.width)
        self.embeddings = _Embeddings(table, preset.width)
        self.encoder = _Encoder(preset.width, preset.heads, preset.layers)
        self.final_layer_norm = nn.LayerNorm(preset.width)
        self.register_buffer("mask", torch.full((TOKENS, TOKENS), -1e4).triu(1), persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        """input_ids (1, 77) int32 -> text_states (1, 77, width) float32."""
        x = self.embeddings(input_ids[0])
        for layer in self.encoder.layers:
            x = layer(x, self.mask)
        return self.final_layer_norm(x)[None]


def traceable_text_encoder(eager: TextEncoder) -> TraceableTextEncoder:
    """The twin of `eager` with its weights, in evaluation mode."""
    with torch.device("meta"):
        twin = TraceableTextEncoder(eager)
    twin.load_state_dict(eager.clip.state_dict(), strict=True, assign=True)
    twin.mask = torch.full((TOKENS, TOKENS), -1e4).triu(1)
    return twin.eval()

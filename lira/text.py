"""CLIP text encoders (transformers `CLIPTextModel`): token ids -> text states that the denoiser reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel
from transformers.utils import logging as transformers_logging

from lira.checkpoint import load_module
from lira.fits import check_loaded
from lira_runtime.errors import BadInput
from lira_runtime.interface import PROMPT_TOKENS
from lira_runtime.tokenizer import END_ID, START_ID, ClipTokenizer

TOKENS = PROMPT_TOKENS
VOCABULARY_SIZE = END_ID + 1
SHAPE_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "hidden_act",
)
"""What public weights must have in common with a preset."""


@dataclass(frozen=True)
class TextPreset:
    """Shape of a CLIP text model; `table_rank` factors the token table, `repository` names public weights."""

    name: str
    width: int
    layers: int
    heads: int
    table_rank: int | None = None
    repository: str | None = None

    def config(self) -> CLIPTextConfig:
        """The transformers configuration, with CLIP's own token ids and quick GELU."""
        return CLIPTextConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=TOKENS,
            hidden_act="quick_gelu",
            bos_token_id=START_ID,
            eos_token_id=END_ID,
            pad_token_id=END_ID,
        )


TEXT_PRESETS = {
    preset.name: preset
    for preset in (
        TextPreset("vit-l-14", width=768, layers=12, heads=12, repository="openai/clip-vit-large-patch14"),
        TextPreset("vit-b-32", width=512, layers=12, heads=8, repository="openai/clip-vit-base-patch32"),
        TextPreset("demo", width=192, layers=4, heads=4, table_rank=32),
    )
}


def get_text_preset(name: str) -> TextPreset:
    """The preset called `name`. Raises BadInput, naming the choices."""
    if name not in TEXT_PRESETS:
        raise BadInput(f"Unknown text encoder '{name}'; choose one of: {', '.join(TEXT_PRESETS)}.")
    return TEXT_PRESETS[name]


class FactoredEmbedding(nn.Module):
    """A token table of low rank: every word keeps a row, at `rank` instead of `width` numbers."""

    def __init__(self, words: int, rank: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(words, rank)
        self.expand = nn.Linear(rank, width, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.expand(self.table(ids))


class TextEncoder(nn.Module):
    """CLIP text model of a preset, random until weights are loaded.

    Raises:
        BadInput: unknown preset.
    """

    def __init__(self, preset_name: str) -> None:
        super().__init__()
        self.preset = preset = get_text_preset(preset_name)
        self.clip = CLIPTextModel(preset.config())
        if preset.table_rank:
            table = FactoredEmbedding(VOCABULARY_SIZE, preset.table_rank, preset.width)
            self.clip.embeddings.token_embedding = table  # type: ignore[assignment]

    @property
    def width(self) -> int:
        return self.preset.width

    def forward(self, input_ids: Tensor) -> Tensor:
        """input_ids (B, 77) integers -> text states (B, 77, width), after the final layer norm."""
        return self.clip(input_ids=input_ids).last_hidden_state


def tokenise(tokenizer: ClipTokenizer, captions: Sequence[str]) -> Tensor:
    """Token ids (B, 77) int64."""
    return torch.from_numpy(np.concatenate([tokenizer.encode(caption).ids for caption in captions])).long()


def load_text_encoder(preset_name: str, source: Path | str) -> TextEncoder:
    """A text encoder with weights.

    Args:
        source: a .safetensors file of this project, a directory in transformers' layout, or a hub repository's name,
            which is looked for in the local hub cache alone: nothing is fetched.

    Raises:
        BadInput: nothing there, or weights of another shape.
    """
    encoder = TextEncoder(preset_name)
    if str(source).endswith(".safetensors"):
        load_module(encoder, Path(source))
        return encoder.eval()
    # transformers prints a report of unexpected vision weights, which CLIP repositories always hold.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        loaded: Any = CLIPTextModel.from_pretrained(
            str(source),
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # check_loaded names them
            output_loading_info=True,
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        sentence = f"No CLIP text weights could be loaded from '{source}': {str(error).splitlines()[0]}"
        raise BadInput(f"{sentence} Only safetensors is read.", "weights_missing") from error
    clip, info = loaded
    for name in SHAPE_FIELDS:
        found, wanted = getattr(clip.config, name), getattr(encoder.clip.config, name)
        if found != wanted:
            what = "text width" if name == "hidden_size" else name
            sentence = f"'{source}' has {what} {found}, text encoder '{preset_name}' has {wanted}."
            raise BadInput(sentence, "weights_differ")
    check_loaded(clip, info, f"'{source}'")
    encoder.clip = clip
    return encoder.float().eval()


def cached_text_encoder(preset_name: str) -> TextEncoder | None:
    """The preset's public weights where the local hub cache holds them, else None."""
    repository = get_text_preset(preset_name).repository
    try:
        return load_text_encoder(preset_name, repository) if repository else None
    except BadInput:
        return None


def seeded_text_encoder(preset_name: str, seed: int) -> TextEncoder:
    """A text encoder with random weights that follow from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TextEncoder(preset_name).eval()

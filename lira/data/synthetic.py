"""Encoded data made up on the spot, for tests and dry runs: no files, and something to learn."""

import torch
from torch import Tensor

from lira.data.stream import Description
from lira.latents import latent_kind
from lira.text import TOKENS


class SyntheticData:
    """Latents that follow from their text states: every channel is 10 x the mean of the text.

    It reads like `lira.data.stream.EncodedData`. kind, size in px, d_text: what it pretends to hold; its encoders are
    unknown, "".
    """

    def __init__(self, kind: str, size: int, d_text: int, count: int = 1024) -> None:
        self.kind, self.size, self.d_text, self._count = latent_kind(kind), size, d_text, count
        self.text_preset = "synthetic"
        self.description = Description(
            latent=kind,
            size=size,
            text_preset=self.text_preset,
            d_text=d_text,
            encoder="",
            text_encoder="",
            source="synthetic",
            shard_size=count,
            shards=1,
            samples=count,
        )
        self.empty_state = torch.zeros(TOKENS, d_text)
        self._shape = self.kind.shape(size, size)[1:]

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Latent (C, h, w) and text states (M, d_text) of sample `index`, float32."""
        text = torch.randn(TOKENS, self.d_text, generator=torch.Generator().manual_seed(index))
        return (10 * text.mean()).expand(self._shape).clone(), text

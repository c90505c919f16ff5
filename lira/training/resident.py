"""Encoded data held whole in a GPU's memory, where a batch is one gather: read sample by sample, it would wait.

`kept_on` decides; on a CPU, and where the data is too large, samples are read as they are asked for.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lira.text import TOKENS
from lira_runtime.progress import Progress

if TYPE_CHECKING:
    from lira.training.batches import Encoded

MOST_OF_FREE_MEMORY = 0.5
"""Share of a GPU's free memory that data may take."""
READ_TOGETHER = 1024
"""Samples that are moved to the device at once."""
FLOAT16_BYTES = 2


class ResidentData:
    """All samples of `data` on `device`, as float16: what `lira-encode` writes. Reads like it.

    Raises BadInput as reading `data` does. `json` shows the progress as JSON lines.
    """

    def __init__(self, data: "Encoded", device: torch.device, json: bool = False) -> None:
        self.kind, self.size, self.d_text, self.description = data.kind, data.size, data.d_text, data.description
        self.device, self.empty_state = device, data.empty_state
        latent, text = _shapes(data)
        self._latents = torch.empty(len(data), *latent, dtype=torch.float16, device=device)
        self._texts = torch.empty(len(data), *text, dtype=torch.float16, device=device)
        with Progress(len(data), "load", json=json) as progress:
            for first in range(0, len(data), READ_TOGETHER):
                some = range(first, min(first + READ_TOGETHER, len(data)))
                latents, texts = zip(*(data.read(index) for index in some), strict=True)
                self._latents[some.start : some.stop] = torch.stack(latents).half()
                self._texts[some.start : some.stop] = torch.stack(texts).half()
                progress.advance(len(some))

    def __len__(self) -> int:
        return len(self._latents)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Latent (C, h, w) and text states (M, d_text) of a sample, float32, on the device."""
        return self._latents[index].float(), self._texts[index].float()

    def gather(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Latents (b, C, h, w) and text states (b, M, d_text) of samples `indices`, float32, on the device."""
        places = torch.from_numpy(indices).to(self.device)
        return self._latents[places].float(), self._texts[places].float()


def gather(data: "Encoded", indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Latents (b, C, h, w) and text states (b, M, d_text) of samples `indices`, float32, where the data lies."""
    if isinstance(data, ResidentData):
        return data.gather(indices)
    latents, texts = zip(*(data.read(int(index)) for index in indices), strict=True)
    return torch.stack(latents), torch.stack(texts)


def kept_on(device: torch.device, data: "Encoded", json: bool = False) -> "Encoded":
    """`data` in the memory of `device` where that is a GPU with room for it, else `data` as it is."""
    if device.type != "cuda":
        return data
    needed = len(data) * FLOAT16_BYTES * sum(int(np.prod(shape)) for shape in _shapes(data))
    free = torch.cuda.mem_get_info(device)[0]
    return ResidentData(data, device, json) if needed < MOST_OF_FREE_MEMORY * free else data


def _shapes(data: "Encoded") -> tuple[tuple[int, ...], tuple[int, int]]:
    """Of one latent and of its text states."""
    return tuple(data.kind.shape(data.size, data.size)[1:]), (TOKENS, data.d_text)

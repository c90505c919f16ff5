"""The processes of a run: one, or as many as a launcher started (`accelerate launch`, `torchrun`), on CPUs or GPUs.

`accelerate launch -m lira.training.cli denoiser ...` runs what `lira-train denoiser ...` does on one. Plain data
parallelism copies the model to every process; FSDP (version 2, NO_WRAP in accelerate's configuration) shards weights,
EMA and moments.
"""

import os

import torch
from accelerate import Accelerator
from torch import nn

from lira.training.state import Ema, Rank, TrainingState
from lira_runtime.errors import BadInput


class Processes:
    """This process and its fellows, as accelerate finds them in the environment."""

    def __init__(self) -> None:
        if os.environ.get("ACCELERATE_USE_FSDP") == "true" and os.environ.get("FSDP_VERSION", "1") != "2":
            raise BadInput("FSDP is used in its second version: set fsdp_version: 2 in accelerate's configuration.")
        # Told nothing, accelerate takes the processes that torchrun starts on CPUs for unrelated ones.
        self._accelerator = Accelerator(cpu=not torch.accelerator.is_available())
        self.device: torch.device = self._accelerator.device
        self.rank = Rank(self._accelerator.process_index, self._accelerator.num_processes)

    def share(self, batch: int) -> slice:
        """This process's part of a global batch. Raises BadInput unless every part is of one, even size.

        The reasoning loop trains even and odd places of a batch differently, so a part must start at an even one.
        """
        count = self.rank.count
        if batch % count or (count > 1 and batch // count % 2):
            raise BadInput(f"A batch of {batch} cannot be shared by {count} processes: use a multiple of {2 * count}.")
        part = batch // count
        return slice(self.rank.index * part, (self.rank.index + 1) * part)

    def prepare(self, state: TrainingState) -> nn.Module:
        """Move a fresh state to this process's device and shard it where FSDP is on; returns the module to call."""
        state.model.to(self.device)
        _lay_out_as_gradients(state.model)
        wrapped, optimizer = self._accelerator.prepare(state.model, state.optimizer)
        state.optimizer, state.rank = optimizer.optimizer, self.rank
        state.ema = Ema(state.model, state.ema.decay)
        return wrapped


def _lay_out_as_gradients(model: nn.Module) -> None:
    """Give depthwise weights the strides of their gradients, channels last, or DDP copies each at every step, warning.

    The two layouts of (C, 1, kh, kw) are the same memory, so `contiguous` sees no difference between them; DDP does.
    """
    for weight in model.parameters():
        if weight.ndim == 4 and weight.shape[1] == 1:
            weight.data = torch.empty_like(weight, memory_format=torch.channels_last).copy_(weight)


def single_device(what: str) -> torch.device:
    """The device of a run that one process makes alone. Raises BadInput, naming `what` it trains, where several run."""
    processes = Processes()
    if processes.rank.count > 1:
        raise BadInput(f"{what} is trained by one process, not by {processes.rank.count}.")
    return processes.device

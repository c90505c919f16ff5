"""The state of a run: weights, optimiser and average, saved whole and loaded only where they fit."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from msgspec import Meta, Struct
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from lira.checkpoint import load_tensors, save_tensors
from lira.fits import check_fits
from lira_runtime.errors import BadInput

DIGEST_LENGTH = 64
"""Of a SHA-256 in hexadecimal digits."""


@dataclass(frozen=True)
class Rank:
    """This process among the `count` that share a run; number 0 alone writes files."""

    index: int = 0
    count: int = 1


class Ema:
    """An exponential moving average of a module's floating parameters and buffers, kept in float32."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step `step`, from 1.

        The decay is (1 + step) / (10 + step) until that exceeds `decay`: for 0.9999, up to step 89,990.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        state = module.state_dict()
        moving = [name for name, value in state.items() if value.is_floating_point()]
        # One call for all tensors: there are hundreds of small ones.
        torch._foreach_lerp_([self.shadow[name] for name in moving], [state[name] for name in moving], 1 - decay)
        for name in state.keys() - set(moving):
            self.shadow[name].copy_(state[name])


class _Counters(Struct):
    step: Annotated[int, Meta(ge=0)]
    seconds: float
    settings: dict[str, str]


@dataclass
class TrainingState:
    """Everything a run needs to go on after an interruption. `seconds` counts training time over all its runs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: Ema
    step: int = 0
    seconds: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    """What must be equal between a run and its continuation, e.g. the latent kind."""
    recipe: str = ""
    """The resolved recipe as JSON; a continuation may change it."""
    notes: tuple[str, ...] = ()
    """What is to be told at the start, a sentence each: what a continuation changed in the recipe."""
    rank: Rank = field(default_factory=Rank)
    saved_step: int | None = None
    """The step of the state on disk."""
    _due: tuple[Path, dict[str, Tensor]] | None = None

    def save_once_proven(self, path: Path) -> None:
        """Save what the state is now by the next `proven`; the buffers, which a forward pass may move, are copied."""
        self._due = path, {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def proven(self) -> None:
        """The weights gave a finite loss and gradient: save the state if that is due. Every process must call it."""
        if self._due:
            path, buffers = self._due
            self.save(path, buffers)

    def save(self, path: str | os.PathLike[str], buffers: Mapping[str, Tensor] | None = None) -> None:
        """Write the state as safetensors, whole or not at all. Every process of the run must call it.

        Args:
            buffers: saved in the place of the model's own of the same names.
        """
        weights = self.model.state_dict()
        weights |= {name: buffer for name, buffer in (buffers or {}).items() if name in weights}
        tensors = {f"model.{k}": v for k, v in weights.items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.shadow.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(v) for name, v in slots.items()}
        whole = {name: gathered(tensor) for name, tensor in tensors.items()}
        counters = {"step": self.step, "seconds": self.seconds, "settings": self.settings}
        if self.rank.index == 0:
            save_tensors(path, whole, {"training": json.dumps(counters), "recipe": self.recipe})
        self.saved_step, self._due = self.step, None

    def averaged(self) -> dict[str, Tensor]:
        """The EMA weights, whole. Every process of the run must call it."""
        return {name: gathered(tensor) for name, tensor in self.ema.shadow.items()}

    def load(self, path: str | os.PathLike[str]) -> None:
        """Go back to a saved state. Raises BadInput when it is damaged, or of another model or other settings."""
        tensors, metadata = load_tensors(path)
        if "training" not in metadata:
            raise BadInput(f"{path} holds weights but no training state.")
        try:
            counters = msgspec.json.decode(metadata["training"], type=_Counters)
            self.notes = changed_values(metadata.get("recipe", ""), self.recipe)
        except msgspec.DecodeError as error:
            raise BadInput(f"The training state in {path} is damaged: {error}.") from error
        # An older state may know less: of its encoders, nothing.
        if others := _differences(counters.settings, self.settings):
            raise BadInput(f"{path} was trained with another {', '.join(others)}.")
        own = self.model.state_dict()
        for part in ("model.", "ema."):
            check_fits(self.model, _below(part, tensors), str(path))
        slots = self._slots(_below("optimizer.", tensors), str(path))
        self.model.load_state_dict({k: _laid_out(v, own[k]) for k, v in _below("model.", tensors).items()})
        self.ema.shadow = {k: _laid_out(v, self.ema.shadow[k]) for k, v in _below("ema.", tensors).items()}
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": slots})
        self.step, self.seconds, self.saved_step = counters.step, counters.seconds, counters.step

    def _slots(self, tensors: Mapping[str, Tensor], source: str) -> dict[int, dict[str, Tensor]]:
        """The optimiser's moments by the number of their parameter, from tensors called NUMBER.NAME."""
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, slot = name.partition(".")
            if not number.isdecimal() or int(number) >= len(parameters):
                raise BadInput(f"The training state in {source} is damaged: no parameter has optimizer.{name}.")
            like = parameters[int(number)]
            moment = _laid_out(value, like) if value.shape == like.shape and slot != "step" else value
            slots.setdefault(int(number), {})[slot] = moment
        return slots


def _differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What `now` lacks, or has otherwise, of a run's settings; of digests, which say nothing to a reader, the names."""
    others = {name: value for name, value in before.items() if now.get(name) != value}
    return [
        name.replace("_", " ") + ("" if len(value) == DIGEST_LENGTH else f" ({value}, here {now.get(name, 'none')})")
        for name, value in others.items()
    ]


def changed_values(before: str, after: str) -> tuple[str, ...]:
    """What differs between two recipes as JSON, a sentence each; none where either is empty."""
    if not (before and after):
        return ()
    old, new = _leaves(msgspec.json.decode(before)), _leaves(msgspec.json.decode(after))
    names = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    return tuple(f"{name} was {old.get(name)} and is {new.get(name)} from here on." for name in names)


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """A JSON tree's values by their dotted paths."""
    if not isinstance(tree, dict | list):
        return {path: tree}
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {k: v for name, branch in branches for k, v in _leaves(branch, f"{path}.{name}".lstrip(".")).items()}


def gathered(tensor: Tensor) -> Tensor:
    """A tensor that is whole on every process; one sharded by FSDP is collected from them all."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _laid_out(value: Tensor, like: Tensor) -> Tensor:
    """`value` where and how `like` lies: device, sharding, and memory layout, which a fused optimiser relies on."""
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return torch.empty_like(like, dtype=value.dtype).copy_(value)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

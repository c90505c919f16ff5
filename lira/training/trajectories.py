"""A guided teacher's drawings, kept at the noise levels where a few-step student will stand.

Every drawing is the teacher's own: DPM-Solver++ with guidance over the student's levels, each of the student's steps
cut into `substeps`. The chord between two of those levels is the velocity that one Euler step of the student must have:

    chord_k = (x_k - x_{k+1}) / (sigma_k - sigma_{k+1})

The drawings are made once and kept: one of them costs 2 x steps x substeps passes, the student's training on a chord
three, so every chord should be seen a few times.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct, structs
from numpy.typing import NDArray
from torch import Tensor

from lira.checkpoint import load_tensors, save_tensors
from lira.data.stream import Stream
from lira.model import LiRAModel
from lira.training.batches import Encoded
from lira.training.recipe import Count, Positive
from lira.training.resident import gather
from lira_runtime.errors import BadInput
from lira_runtime.progress import Progress
from lira_runtime.sampler import guided, sample, shifted_sigmas


class Levels(Struct, frozen=True, forbid_unknown_fields=True):
    """The student's noise levels, even in sigma before the time shift."""

    steps: Count
    shift: Positive = 1.0

    @property
    def sigmas(self) -> list[float]:
        """steps + 1 levels from 1 to 0."""
        return shifted_sigmas(self.steps, self.shift)


class Teaching(Struct, frozen=True, forbid_unknown_fields=True):
    """How the teacher draws, and how much."""

    guidance: Positive
    substeps: Count
    """Steps of the teacher for one of the student."""
    trajectories: Count
    batch: Count = 64
    """Drawings made together, and kept in one file."""


@dataclass(frozen=True)
class Chords:
    """A batch of the student's steps: x at sigma t (b,), text states (b, M, d_text), and the velocity to learn."""

    x: Tensor
    t: Tensor
    text: Tensor
    velocity: Tensor

    def to(self, device: torch.device) -> "Chords":
        """The same on a device."""
        return Chords(self.x.to(device), self.t.to(device), self.text.to(device), self.velocity.to(device))


def teacher_states(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, levels: Levels, substeps: int) -> Tensor:
    """Draw from `noise` (b, C, h, w) and keep the states at the student's levels: (b, steps + 1, C, h, w)."""
    fine = shifted_sigmas(levels.steps * substeps, levels.shift)
    steps = sample(velocity, noise, fine, "dpm")
    return torch.stack([noise, *(step.x for step in steps if (step.index + 1) % substeps == 0)], 1)


class Trajectories:
    """The chords of kept drawings, `levels.steps` of each, in the memory of the device that `states` lies on.

    Args:
        states: (N, steps + 1, C, h, w) float16. samples: (N,) int64, the samples of `data` whose text was drawn.
    """

    def __init__(self, states: Tensor, samples: NDArray[np.int64], levels: Levels, data: Encoded) -> None:
        self._states, self._samples, self._levels, self._data = states, samples, levels, data

    def __len__(self) -> int:
        return len(self._states) * self._levels.steps

    def read(self, indices: NDArray[np.int64]) -> Chords:
        """The chords number `indices`, (b,) int64, of 0 .. len - 1."""
        drawings, steps = np.divmod(indices, self._levels.steps)
        device = self._states.device
        drawing, step = torch.from_numpy(drawings).to(device), torch.from_numpy(steps).to(device)
        sigmas = torch.tensor(self._levels.sigmas, device=device)
        x, end = self._states[drawing, step].float(), self._states[drawing, step + 1].float()
        span = (sigmas[step] - sigmas[step + 1])[:, None, None, None]
        return Chords(x, sigmas[step], _texts(self._data, self._samples[drawings]), (x - end) / span)


@dataclass(frozen=True)
class Teacher:
    """A trained denoiser and how it draws; `digest` is that of its weights, by which kept drawings are known."""

    network: LiRAModel
    digest: str
    levels: Levels
    teaching: Teaching
    bf16: bool

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def states(self, noise: Tensor, text: Tensor, empty_state: Tensor) -> Tensor:
        """Draw text states (b, M, d_text) from noise (b, C, h, w) where the network is; see `teacher_states`."""
        device = self.device
        noise, text = noise.to(device), text.to(device)

        def velocity(x: Tensor, sigma: float, states: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                return self.network(x, torch.full((len(x),), sigma, device=device), states)[0].float()

        empty = empty_state.float().to(device).expand_as(text)
        drawn_by = guided(velocity, text, empty, self.teaching.guidance)
        with torch.inference_mode():
            return teacher_states(drawn_by, noise, self.levels, self.teaching.substeps)


def draw_trajectories(folder: Path, teacher: Teacher, data: Encoded, seed: int, as_json: bool = False) -> Trajectories:
    """Draw the texts of `teaching.trajectories` samples of `data`; files that `folder` already holds are kept.

    `as_json` shows the progress as JSON lines. Raises BadInput for files that are damaged, or of another teacher, seed,
    data or way of drawing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    batch, count = teacher.teaching.batch, teacher.teaching.trajectories
    identity = _identity(teacher, data, seed)
    shape = data.kind.shape(data.size, data.size)[1:]
    samples, pieces = Stream(data, seed).indices(0, count), []
    with Progress(count, "draw", json=as_json) as progress:
        for first in range(0, count, batch):
            some, path = samples[first : first + batch], folder / f"{first // batch:05d}.safetensors"
            if not path.exists():
                rng = np.random.default_rng([seed, first])
                noise = torch.from_numpy(rng.standard_normal((len(some), *shape), np.float32))
                states = teacher.states(noise, _texts(data, some), data.empty_state)
                save_tensors(path, {"states": states.half()}, {"made_by": identity})
            pieces.append(_kept(path, identity, len(some)))
            progress.advance(len(some))
    return Trajectories(torch.cat(pieces).to(teacher.device), samples, teacher.levels, data)


def _identity(teacher: Teacher, data: Encoded, seed: int) -> str:
    """Everything that decides a drawing, but how many there are."""
    settings = structs.asdict(teacher.levels) | structs.asdict(structs.replace(teacher.teaching, trajectories=1))
    origin = {"teacher": teacher.digest, "bf16": teacher.bf16, "seed": seed, "samples": len(data), "size": data.size}
    held = {name: getattr(data.description, name) for name in ("source", "encoder", "text_encoder")}
    return json.dumps(settings | origin | held)


def _kept(path: Path, identity: str, count: int) -> Tensor:
    tensors, metadata = load_tensors(path)
    if metadata.get("made_by") != identity:
        raise BadInput(f"{path} was not drawn by this teacher in this way: delete its folder, or choose another --out.")
    if "states" not in tensors or len(tensors["states"]) < count:
        raise BadInput(f"{path} holds fewer than {count} drawings: delete it.")
    return tensors["states"][:count]


def _texts(data: Encoded, samples: NDArray[np.int64]) -> Tensor:
    return gather(data, samples)[1]

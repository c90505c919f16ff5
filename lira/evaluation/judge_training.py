"""Train the judge on rendered scenes of the training split, and measure it on held-out ones.

Loss: cross entropy of the thing at every place, where a place with nothing counts NOTHING_WEIGHT, of the size where
there is a thing, and of the background. Pictures are blurred, sharpened, stained and shifted in colour, because a
decoder's pictures are a little soft and a little off; no generated picture is ever shown.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lira.checkpoint import save_module
from lira.data.emoji import EmojiSet
from lira.data.scenes import BACKGROUNDS, SIZES, Mix, Scene, render, sample_jitter, sample_split
from lira.evaluation.judge import NOTHING, PLACES, SIDE, THINGS, Judge, Reading, shrink, truth
from lira.evaluation.score import Share, judge_obedience, shares
from lira_runtime.progress import Progress

MIX = Mix(centred=0.1, placed=0.5)
NOTHING_WEIGHT = 0.25
LABEL_SMOOTHING = 0.05
STAIN_CELLS = 16
"""Stains are noise of 16 x 16 cells, enlarged."""
NOISE_BANK = 1 << 22


@dataclass(frozen=True)
class Recipe:
    """Settings of the optimisation and of the disturbances, whose sigma each picture draws uniformly from 0."""

    steps: int = 1000
    batch: int = 32
    peak_rate: float = 4e-3
    noise: float = 0.06
    stains: float = 0.06
    gain: float = 0.06
    offset: float = 0.03


@dataclass(frozen=True)
class Accuracy:
    """Of a judge on real scenes: shares by attribute, and what was taken for what.

    confused: (thing shown, thing or "nothing" read) -> count. backgrounds (B, B): rows are shown, columns read.
    """

    shares: dict[str, Share]
    confused: Counter[tuple[str, str]]
    backgrounds: np.ndarray


def labels(scenes: list[Scene]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices by place: things (b, 3, 3), 0 for nothing, sizes (b, 3, 3), -1 where nothing is, backgrounds (b,)."""
    things = torch.zeros(len(scenes), len(PLACES), dtype=torch.long)
    sizes = torch.full_like(things, -1)
    for row, scene in enumerate(scenes):
        for place, seen in truth(scene).seen.items():
            column = PLACES.index(place)
            things[row, column] = 1 + THINGS.index(seen.thing)
            sizes[row, column] = list(SIZES).index(seen.size)
    backgrounds = torch.tensor([list(BACKGROUNDS).index(scene.background) for scene in scenes])
    return things.view(-1, 3, 3), sizes.view(-1, 3, 3), backgrounds


def loss_of(judge: Judge, pictures: Tensor, scenes: list[Scene]) -> Tensor:
    """The loss in the module's docstring; pictures (b, 3, SIDE, SIDE)."""
    things, sizes, backgrounds = judge(pictures)
    wanted_things, wanted_sizes, wanted_backgrounds = labels(scenes)
    weight = torch.ones(1 + len(THINGS))
    weight[NOTHING] = NOTHING_WEIGHT
    return (
        F.cross_entropy(things.float(), wanted_things, weight, label_smoothing=LABEL_SMOOTHING)
        + F.cross_entropy(sizes.float(), wanted_sizes, ignore_index=-1)
        + F.cross_entropy(backgrounds.float(), wanted_backgrounds)
    )


class Disturbance:
    """Makes pictures (b, 3, SIDE, SIDE) look as if a soft decoder had made them."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._grain = torch.randn(NOISE_BANK)  # normal numbers are dear: each picture takes a piece of these

    def __call__(self, pictures: Tensor) -> Tensor:
        """pictures, and the result, in [0, 1]."""
        recipe, count = self._recipe, len(pictures)
        blurred = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
        blurred = F.avg_pool2d(blurred, 3, stride=1, padding=1, count_include_pad=False)
        made = torch.lerp(pictures, blurred, 1.4 * torch.rand(count, 1, 1, 1) - 0.4)  # below 0 it sharpens
        stains = torch.rand(count, 1, 1, 1) * torch.randn(count, 3, STAIN_CELLS, STAIN_CELLS)
        made += F.interpolate(recipe.stains * stains, (SIDE, SIDE), mode="bilinear")
        made += recipe.noise * torch.rand(count, 1, 1, 1) * self._pieces(pictures)
        made *= 1 + recipe.gain * (2 * torch.rand(count, 3, 1, 1) - 1)
        made += recipe.offset * (2 * torch.rand(count, 3, 1, 1) - 1)
        return made.clamp_(0, 1)

    def _pieces(self, like: Tensor) -> Tensor:
        size = like[0].numel()
        starts = torch.randint(NOISE_BANK - size, (len(like),)).tolist()
        flat = torch.stack([self._grain[start : start + size] for start in starts])
        return flat.view(len(like), SIDE, SIDE, 3).permute(0, 3, 1, 2)


def real_batches(emoji: EmojiSet, batch: int, seed: int, held_out: bool) -> Iterator[tuple[np.ndarray, list[Scene]]]:
    """Endless (pictures (b, 256, 256, 3) uint8, their scenes) of one split."""
    rng = np.random.default_rng(seed)
    while True:
        scenes = [sample_split(rng, held_out, MIX) for _ in range(batch)]
        yield np.stack([render(scene, emoji, sample_jitter(rng)) for scene in scenes]), scenes


def train(emoji: EmojiSet, recipe: Recipe, seed: int, progress: Progress) -> Judge:
    """Train a judge from the seed; returns it in evaluation mode."""
    torch.manual_seed(seed)
    judge = Judge().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(judge.parameters(), lr=recipe.peak_rate, weight_decay=0.02, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.peak_rate, recipe.steps, pct_start=0.1)
    disturb, batches = Disturbance(recipe), real_batches(emoji, recipe.batch, seed, held_out=False)
    for _ in range(recipe.steps):
        pictures, scenes = next(batches)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(judge, disturb(shrink(pictures)), scenes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.advance(1, f"loss {loss.item():.3f}")
    return judge.eval()


def measure(judge: Judge, emoji: EmojiSet, count: int, seed: int = 1) -> Accuracy:
    """Accuracy on `count` held-out real scenes, undisturbed."""
    scenes: list[Scene] = []
    readings: list[Reading] = []
    batches = real_batches(emoji, 50, seed, held_out=True)
    while len(scenes) < count:
        pictures, some = next(batches)
        scenes += some
        readings += judge.read(pictures)
    scenes, readings = scenes[:count], readings[:count]
    verdicts = [judge_obedience(scene, reading) for scene, reading in zip(scenes, readings, strict=True)]
    return Accuracy(shares(verdicts), _confused(scenes, readings), _background_matrix(scenes, readings))


def _confused(scenes: list[Scene], readings: list[Reading]) -> Counter[tuple[str, str]]:
    confused: Counter[tuple[str, str]] = Counter()
    for scene, reading in zip(scenes, readings, strict=True):
        shown = truth(scene).seen
        for place in shown | reading.seen:
            pair = tuple(side[place].thing if place in side else "nothing" for side in (shown, reading.seen))
            if pair[0] != pair[1]:
                confused[pair[0], pair[1]] += 1
    return confused


def _background_matrix(scenes: list[Scene], readings: list[Reading]) -> np.ndarray:
    names = list(BACKGROUNDS)
    matrix = np.zeros((len(names), len(names)), np.int64)
    for scene, reading in zip(scenes, readings, strict=True):
        matrix[names.index(scene.background), names.index(reading.background)] += 1
    return matrix


def save_judge(judge: Judge, path: Path) -> None:
    """Write the weights as float16."""
    save_module(judge, path, torch.float16, {"judge": "1"})

"""Render and encode scenes of the training split into one packed data set for the denoiser.

`python -m lira.data.pack --emoji PATH --encoder lira/weights/encoder.safetensors --count 60000 --out DIR` writes
DIR/latents.npy, float16 (N, C, H, W), the diffusion latents, and DIR/captions.json.gz, N captions in the same order.
"""

import argparse
import gzip
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from lira.autoencoder import DemoEncoder, load_encoder
from lira.data.emoji import EmojiSet
from lira.data.scenes import EVERYTHING, Jitter, Mix, Scene, render, sample_jitter, sample_split
from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.files import atomic_write
from lira_runtime.progress import Progress

BATCH = 64
LATENTS_NAME = "latents.npy"
CAPTIONS_NAME = "captions.json.gz"


def distinct_scenes(count: int, seed: int, mix: Mix = EVERYTHING) -> Iterator[tuple[Scene, Jitter]]:
    """`count` scenes of the training split; no two share both the scene and the jitter."""
    rng = np.random.default_rng(seed)
    seen: set[tuple[Scene, Jitter]] = set()
    while len(seen) < count:
        item = sample_split(rng, held_out=False, mix=mix), sample_jitter(rng)
        if item not in seen:
            seen.add(item)
            yield item


def render_batch(items: list[tuple[Scene, Jitter]], emoji: EmojiSet) -> torch.Tensor:
    """Pictures (b, 3, 256, 256), float32 in [0, 1]."""
    pixels = np.stack([render(scene, emoji, jitter) for scene, jitter in items])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)


@torch.inference_mode()
def pack(
    emoji: EmojiSet, encoder: DemoEncoder, count: int, seed: int, mix: Mix = EVERYTHING
) -> tuple[np.ndarray, list[str]]:
    """Encode `count` scenes; returns latents float16 (count, C, H, W) and the captions."""
    scenes = distinct_scenes(count, seed, mix)
    pieces: list[np.ndarray] = []
    captions: list[str] = []
    with ThreadPoolExecutor(1) as renderer, Progress(count, "encode") as progress:
        # One batch is rendered while the one before is encoded.
        items = list(islice(scenes, BATCH))
        pending = renderer.submit(render_batch, items, emoji)
        while items:
            pictures, captions_now = pending.result(), [scene.caption for scene, _ in items]
            items = list(islice(scenes, BATCH))
            if items:
                pending = renderer.submit(render_batch, items, emoji)
            with torch.autocast("cpu", torch.bfloat16):
                pieces.append(encoder(pictures).half().numpy())
            captions += captions_now
            progress.advance(len(captions_now))
    return np.concatenate(pieces), captions


def load_packed(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Read what `main` wrote: latents (N, C, H, W) float16, memory-mapped, and N captions. Raises BadInput."""
    try:
        latents = np.load(folder / LATENTS_NAME, mmap_mode="r")
        with gzip.open(folder / CAPTIONS_NAME, "rt") as file:
            captions = json.load(file)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise BadInput(f"{folder} holds no packed latents: {error}.") from error
    if latents.ndim != 4 or len(latents) != len(captions):
        raise BadInput(f"{folder} is damaged: latents {latents.shape} do not match {len(captions)} captions.")
    return latents, captions


@cli_guard
def main() -> None:
    """Parse the options and write the two files."""
    parser = argparse.ArgumentParser(description="Pack encoded scenes for the denoiser's training.")
    parser.add_argument("--emoji", type=Path, required=True, help="the Fluent Emoji package, .tgz or unpacked folder")
    parser.add_argument("--encoder", type=Path, required=True, help="encoder.safetensors of the demo autoencoder")
    parser.add_argument("--count", type=int, default=60_000)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--centred", type=float, default=Mix.centred, help="share of one large thing in the centre")
    parser.add_argument("--placed", type=float, default=Mix.placed, help="share of one thing of any size and place")
    options = parser.parse_args()
    if min(options.centred, options.placed) < 0 or options.centred + options.placed > 1:
        raise BadInput("--centred and --placed are shares of 1; what they leave are pairs.")
    if options.count < 1:
        raise BadInput(f"--count must be at least 1, not {options.count}.")
    mix = Mix(options.centred, options.placed)
    latents, captions = pack(EmojiSet(options.emoji), load_encoder(options.encoder), options.count, options.seed, mix)
    options.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(options.out / LATENTS_NAME) as part, part.open("wb") as file:
        np.save(file, latents)
    with atomic_write(options.out / CAPTIONS_NAME) as part, gzip.open(part, "wt") as text:
        json.dump(captions, text)
    print(f"{latents.shape} latents, mean {latents.mean(dtype=float):.3f}, std {latents.std(dtype=float):.3f}")


if __name__ == "__main__":
    main()

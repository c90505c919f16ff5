"""`python -m lira.data --emoji PATH --out sheet.png`: a contact sheet of sampled scenes with their captions."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lira.data.emoji import EmojiSet
from lira.data.scenes import CANVAS, render, sample_jitter, sample_scene
from lira.data.sheet import contact_sheet
from lira_runtime.errors import BadInput, cli_guard
from lira_runtime.files import atomic_write


def scene_sheet(emoji: EmojiSet, columns: int, rows: int, seed: int) -> Image.Image:
    """`columns` x `rows` sampled scenes, each with its caption below."""
    rng = np.random.default_rng(seed)
    scenes = [sample_scene(rng) for _ in range(columns * rows)]
    pictures = [render(scene, emoji, sample_jitter(rng)) for scene in scenes]
    return contact_sheet(pictures, [scene.caption for scene in scenes], columns, CANVAS)


@cli_guard
def main() -> None:
    """Parse the options and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emoji", type=Path, required=True, help="the Fluent Emoji package, .tgz or unpacked folder")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if min(options.columns, options.rows) < 1:
        raise BadInput("--columns and --rows must be at least 1.")
    sheet = scene_sheet(EmojiSet(options.emoji), options.columns, options.rows, options.seed)
    with atomic_write(options.out) as part:
        sheet.save(part, "PNG")


if __name__ == "__main__":
    main()

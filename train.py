"""Train LiRA. `python train.py --test_mode` trains nano on synthetic data in under a minute; otherwise `lira-train`."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from lira.training import denoiser
from lira.training.cli import main as lira_train
from lira.training.loop import LoopSettings


def synthetic_batches(batch: int) -> Iterator[denoiser.Batch]:
    """Latents that follow from their text states: a colour field whose value is the mean of the text."""
    generator = torch.Generator().manual_seed(0)
    while True:
        text = torch.randn(batch, 77, 32, generator=generator)
        colour = 10 * text.mean((1, 2))[:, None, None, None]
        yield denoiser.Batch(colour.expand(batch, 4, 8, 8).contiguous(), text)


def test_mode(seconds: float = 25.0) -> None:
    """A short run of the real training loop; fails when the loss does not fall below that of predicting zero."""
    torch.manual_seed(0)
    recipe = denoiser.Recipe(batch=16, warmup_steps=10)
    state = denoiser.new_state("nano", in_channels=4, d_text=32, patch_size=2, recipe=recipe)
    batches = synthetic_batches(recipe.batch)
    sample = next(batches).z_0
    untrained = float(sample.square().mean()) + 1.0
    with tempfile.TemporaryDirectory() as folder:
        settings = LoopSettings(seconds, log_every=5)
        loss = denoiser.train(state, batches, recipe, settings, Path(folder))
    print(f"velocity loss {loss:.3f} after {state.step} steps; predicting zero costs {untrained:.3f}")
    if not loss < 0.9 * untrained:
        raise SystemExit("The loss did not fall.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--test_mode", action="store_true")
    options, rest = parser.parse_known_args()
    if options.test_mode:
        test_mode()
    else:
        sys.argv[1:] = rest
        lira_train()

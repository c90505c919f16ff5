"""Train LiRA. `python train.py --test_mode` trains nano on synthetic data in under a minute; otherwise `lira-train`."""

import argparse
import sys
import tempfile
from pathlib import Path

from lira.data.synthetic import SyntheticData
from lira.training import denoiser
from lira.training.cli import main as lira_train
from lira.training.recipe import resolve


def test_mode() -> None:
    """A short run of the real training loop; fails when the loss does not fall below that of predicting zero."""
    recipe = resolve("smoke")
    data = SyntheticData(recipe.model.latent, recipe.stages[0].resolution, d_text=32)
    untrained = sum(float(data.read(i)[0].square().mean()) for i in range(len(data))) / len(data) + 1.0
    with tempfile.TemporaryDirectory() as folder:
        loss = denoiser.run(recipe, [data], Path(folder), resume=False)
    print(f"velocity loss {loss:.3f} after {recipe.steps} steps; predicting zero costs {untrained:.3f}")
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

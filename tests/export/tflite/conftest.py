"""Float32 files that the tests of the target share: nano's decoder at two sizes, and a denoiser of two blocks."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

pytest.importorskip("litert_torch")

from lira.model import LiRAModel, wake_zero_weights
from lira.presets import PRESETS, Preset
from lira.sources import Models
from lira_export.components import Component, build_components
from lira_export.parity import reference_samples
from lira_export.recipes import FLOAT32
from lira_export.rewrite.denoiser import traceable_denoiser
from lira_export.target import Job, Written
from lira_export.tflite.convert import to_tflite
from lira_export.tflite.model import read, write
from lira_export.tflite.names import name_layers
from lira_export.tflite.target import TfliteTarget
from lira_runtime.interface import interface

SIDES = (64, 128)
MITE = Preset(
    "mite",
    2,
    32,
    4,
    head_width=24,
    fusion_head_width=16,
    fusion_every=2,
    reasoning_width=16,
    reasoning_steps=3,
    chunk=8,
)


@dataclass(frozen=True)
class Decoder:
    """A job and what the target wrote for it."""

    job: Job
    written: Written

    @property
    def path(self) -> Path:
        return self.written.files[0]


@pytest.fixture(scope="session")
def decoder(small_models: Models) -> Iterator[Decoder]:
    """Nano's decoder in float32 at 64 and 128 px."""
    variants, samples = {}, {}
    for side in SIDES:
        components = {each.name: each for each in build_components(small_models, side)}
        variants[side], samples[side] = components["decoder"], reference_samples(components)["decoder"]
    with tempfile.TemporaryDirectory() as folder:
        job = Job("decoder", variants, samples, FLOAT32, small_models, Path(folder), lambda line: None)
        yield Decoder(job, TfliteTarget().write(job))


@pytest.fixture(scope="session")
def mite() -> Component:
    """A denoiser of two blocks, 32 wide, for latents of 4 x 8 x 8."""
    torch.manual_seed(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "mite", MITE)
        eager = LiRAModel("mite", in_channels=4, d_text=24, patch_size=1).eval()
    wake_zero_weights(eager)
    tensors = interface((1, 4, 8, 8), 8, 24)["denoiser"]
    return Component("denoiser", eager, traceable_denoiser(eager, (8, 8)), *tensors)


@pytest.fixture(scope="session")
def mite_file(mite: Component, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It as a float32 file with named layers, signature "main"."""
    path = tmp_path_factory.mktemp("mite") / "denoiser.tflite"
    to_tflite({"main": mite}, path)
    model = read(path)
    name_layers(model, mite.traceable)
    write(model, path.with_suffix(".named"))
    return path.with_suffix(".named").rename(path)

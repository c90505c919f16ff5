"""The golden outputs of an export, against the eager models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lira.sources import Models
from lira_export.golden import write_golden
from lira_export.parity import psnr_db
from lira_export.targets import TARGETS
from lira_runtime.bundle import Bundle, read_tensor
from lira_runtime.errors import ParityLost
from lira_runtime.golden import GoldenInputs
from lira_runtime.interface import golden_stride
from lira_runtime.manifest import TargetName
from lira_runtime.noise import initial_noise
from lira_runtime.tokenizer import ClipTokenizer


@torch.inference_mode()
def eager_outputs(models: Models, side: int) -> dict[str, np.ndarray]:
    tokenizer = ClipTokenizer.vendored()
    prompt, empty = (torch.from_numpy(tokenizer.encode(text).ids) for text in ("a red apple on a blue background", ""))
    latent = torch.from_numpy(initial_noise(8, (1, models.kind.channels, *[side // models.kind.scale] * 2)))
    velocity, _ = models.denoiser(latent, torch.tensor([0.5]), models.text_encoder(empty))
    outputs = {
        "text_encoder": models.text_encoder(prompt),
        "denoiser": velocity,
        "decoder": models.decoder(latent),
    }
    return {name: output.numpy().ravel() for name, output in outputs.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_every_graph_has_its_golden_output_near_eagers(mites: Callable[[TargetName], Any], target: TargetName) -> None:
    mite = mites(target)
    bundle = Bundle.open(mite.bundle)
    for component in bundle.manifest.components:
        for graph in component.graphs:
            wanted = eager_outputs(mite.models, graph.resolution or bundle.manifest.resolutions[0])[component.name]
            assert graph.golden is not None
            found = read_tensor(bundle.path, graph.golden)
            assert psnr_db(found, wanted[:: golden_stride(wanted.size)]) >= 30, graph.golden.path
    sizes = [graph.golden.bytes for part in bundle.manifest.components for graph in part.graphs if graph.golden]
    assert max(sizes) <= 65_536


class Infinite:
    def load(self, *arguments: object) -> None: ...

    def run(self, inputs: object) -> dict[str, np.ndarray]:
        return dict.fromkeys(("text_states", "velocity", "image"), np.array([np.inf], np.float32))

    def unload(self) -> None: ...


def test_outputs_that_are_no_numbers_stop_the_export(bundle_folder: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(bundle_folder)
    inputs = GoldenInputs(ClipTokenizer.vendored(), bundle.empty_prompt())
    with pytest.raises(ParityLost, match=r"text_encoder: text_encoder\.onnx returns values that are not finite"):
        write_golden(tmp_path, bundle.manifest.components, Infinite(), inputs)  # type: ignore[arg-type]

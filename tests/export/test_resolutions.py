"""Several picture sizes in one bundle of every format, over one copy of the weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from lira.evaluation.eager import draw_batch
from lira_export.targets import TARGETS, make_target
from lira_runtime.bundle import Bundle
from lira_runtime.cli import main as generate
from lira_runtime.manifest import TargetName
from lira_runtime.sampler import shifted_sigmas

SIDES = (32, 64)
PLACES: dict[TargetName, Callable[[str, int], tuple[str, str]]] = {
    "onnx": lambda name, side: (f"{name}-{side}.onnx", "main"),
    "tflite": lambda name, side: (f"{name}.tflite", f"r{side}"),
    "coreml": lambda name, side: (f"{name}.mlpackage", f"r{side}"),
}
"""File and entry of a component at a size."""
Mites = Callable[[TargetName], Any]


@pytest.fixture
def run_generate(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`lira-generate` with these arguments -> exit code, stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            generate([str(argument) for argument in arguments])
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize("target", TARGETS)
def test_the_manifest_names_a_graph_for_every_size(target: TargetName, mites: Mites) -> None:
    bundle = Bundle.open(mites(target).bundle)
    assert bundle.manifest.resolutions == SIDES
    for name in ("denoiser", "decoder"):
        found = [(graph.path, graph.entry, graph.resolution) for graph in bundle.component(name).graphs]
        assert found == [(*PLACES[target](name, side), side) for side in SIDES]
        assert bundle.graph(name).resolution == SIDES[0], "the first is the default"
    (text_encoder,) = bundle.component("text_encoder").graphs
    assert text_encoder.resolution is None


def test_onnx_stores_nothing_twice_and_its_graphs_refer_to_the_same_bytes(mites: Mites) -> None:
    folder = mites("onnx").bundle

    def places(name: str) -> dict[str, tuple[int, int]]:
        """Offset and length of what a graph finds in the one file of its component's weights."""
        stored = onnx.load(folder / name, load_external_data=False).graph.initializer
        fields = {t.name: {entry.key: entry.value for entry in t.external_data} for t in stored if t.external_data}
        assert {entry["location"] for entry in fields.values()} == {f"{name.split('-')[0]}.onnx.data"}
        return {name: (int(entry["offset"]), int(entry["length"])) for name, entry in fields.items()}

    for name, least in (("denoiser", 9), ("decoder", 15)):
        small, large = (places(f"{name}-{side}.onnx") for side in SIDES)
        int8 = {tensor for tensor in small if tensor.endswith(".weight.int8")}
        assert len(int8) >= least
        assert {tensor: large[tensor] for tensor in int8} == {tensor: small[tensor] for tensor in int8}
        ends = [0]
        for start, length in sorted({*small.values(), *large.values()}):
            assert 0 <= start - ends[-1] < 64, "bytes that no graph refers to, or that two tensors share"
            ends.append(start + length)
        assert ends[-1] == (folder / f"{name}.onnx.data").stat().st_size


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("side", SIDES)
@torch.inference_mode()
def test_every_graph_computes_what_the_eager_models_do(side: int, target: TargetName, mites: Mites) -> None:
    mite, generator = mites(target), torch.Generator().manual_seed(side)
    inputs = {
        "latent": torch.randn(1, 4, side // 8, side // 8, generator=generator),
        "timestep": torch.tensor([0.6]),
        "text_states": torch.randn(1, 77, mite.models.text_encoder.width, generator=generator),
    }
    velocity, info = mite.models.denoiser(*inputs.values())
    image = mite.models.decoder(inputs["latent"])
    bundle, backend = Bundle.open(mite.bundle), make_target(target).backend()
    for name, output, wanted in (("denoiser", "velocity", velocity), ("decoder", "image", image)):
        graph = bundle.graph(name, side)
        backend.load(graph, bundle.path)
        found = backend.run({spec.name: inputs[spec.name].numpy() for spec in graph.inputs})
        backend.unload()
        error = np.sqrt(np.mean(np.square(found[output].astype(np.float64) - wanted.numpy())))
        assert 25 <= 20 * np.log10(float(wanted.abs().max()) / error) < 100, name
        if name == "denoiser":
            assert found["reasoning_steps"].tolist() == info["total_steps"].tolist() == [3], "more than the least"


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_lira_generate_draws_at_each_size_what_eager_draws_and_refuses_others(
    target: TargetName, mites: Mites, tmp_path: Path, run_generate: Callable[..., tuple[int, str]]
) -> None:
    out, prompt, mite = tmp_path / "a.png", "a yellow cat on a grey background", mites(target)
    sigmas = shifted_sigmas(2, mite.models.sampler.shift)
    for flags, side in (((), 32), (("--resolution", 64), 64)):
        code, err = run_generate(mite.bundle, prompt, "--out", out, "--steps", 2, "--guidance", 2, *flags)
        assert code == 0, err
        (wanted,) = draw_batch(replace(mite.models, resolution=side), [prompt], 0, sigmas, 2.0)
        with Image.open(out) as image:
            pixels = np.asarray(image)
        assert pixels.shape == wanted.shape == (side, side, 3)
        error = np.sqrt(np.mean(np.square(pixels.astype(float) - wanted)))
        assert 20 * np.log10(255 / error) >= 25
    out.unlink()
    code, err = run_generate(mite.bundle, prompt, "--out", out, "--resolution", 96)
    assert code == 2 and len(err.splitlines()) == 1 and not out.exists()
    assert "draws at 32, 64 px, not at 96; export it with --resolution" in err

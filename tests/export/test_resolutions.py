"""Several picture sizes in one ONNX bundle: a graph for each over one file of weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from lira.evaluation.eager import draw_batch
from lira.sources import Models
from lira_export.bundle import Order, write_bundle
from lira_export.onnx.target import OnnxTarget
from lira_export.recipes import get_recipe
from lira_export.references import References
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.bundle import Bundle
from lira_runtime.cli import main as generate
from lira_runtime.sampler import shifted_sigmas

SIDES = (64, 128)


@pytest.fixture(scope="module")
def bundle(small_models: Models, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """int8, as `bundle_folder` is, at two sizes."""
    out = tmp_path_factory.mktemp("sizes") / "bundle"
    order = Order("nano", OnnxTarget(), get_recipe("int8", "onnx"), out)
    write_bundle(order, References(small_models, SIDES), lambda line: None)
    return Bundle.open(out)


@pytest.fixture
def run_generate(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """`lira-generate` with these arguments -> exit code, stderr."""

    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            generate([str(argument) for argument in arguments])
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_every_size_has_its_graphs_and_all_share_one_file_of_weights(bundle: Bundle, bundle_folder: Path) -> None:
    assert bundle.manifest.resolutions == SIDES
    for name, graphs in (
        ("text_encoder", {"text_encoder.onnx"}),
        ("denoiser", {"denoiser-64.onnx", "denoiser-128.onnx"}),
        ("decoder", {"decoder-64.onnx", "decoder-128.onnx"}),
    ):
        assert {path.name for path in bundle.path.glob(f"{name}*.onnx")} == graphs
        data = bundle.path / f"{name}.onnx.data"
        files = {file.path for file in bundle.component(name).files}
        assert files == graphs | {data.name}
        alone = (bundle_folder / data.name).stat().st_size
        assert alone <= data.stat().st_size <= 1.05 * alone, "a second copy of the weights"


def test_the_graphs_refer_to_the_same_bytes(bundle: Bundle) -> None:
    def places(name: str) -> dict[str, tuple[str, str]]:
        stored = onnx.load(bundle.path / name, load_external_data=False).graph.initializer
        fields = {t.name: {entry.key: entry.value for entry in t.external_data} for t in stored if t.external_data}
        return {name: (entry["location"], entry["offset"]) for name, entry in fields.items()}

    small, large = places("denoiser-64.onnx"), places("denoiser-128.onnx")
    int8 = {name for name in small if name.endswith(".weight.int8")}
    assert len(int8) > 50 and {name: large[name] for name in int8} == {name: small[name] for name in int8}


@pytest.mark.parametrize("side", SIDES)
@torch.inference_mode()
def test_both_graphs_compute_what_the_eager_models_do(side: int, bundle: Bundle, small_models: Models) -> None:
    generator = torch.Generator().manual_seed(side)
    inputs = {
        "latent": torch.randn(1, 4, side // 8, side // 8, generator=generator),
        "timestep": torch.tensor([0.6]),
        "text_states": torch.randn(1, 77, small_models.text_encoder.width, generator=generator),
    }
    velocity = small_models.denoiser(*inputs.values())[0]
    image = small_models.decoder(inputs["latent"])
    for name, output, wanted in (("denoiser", "velocity", velocity), ("decoder", "image", image)):
        backend, graph = OnnxBackend(), bundle.graph(name, side)
        backend.load(graph, bundle.path)
        found = backend.run({spec.name: inputs[spec.name].numpy() for spec in graph.inputs})[output]
        error = np.sqrt(np.mean(np.square(found.astype(np.float64) - wanted.numpy())))
        assert 20 * np.log10(float(wanted.abs().max()) / error) >= 25, name


def test_lira_generate_draws_at_each_size_what_eager_draws_and_refuses_others(
    bundle: Bundle, small_models: Models, tmp_path: Path, run_generate: Callable[..., tuple[int, str]]
) -> None:
    out, prompt = tmp_path / "a.png", "a yellow cat on a grey background"
    sigmas = shifted_sigmas(2, small_models.sampler.shift)
    for flags, side in (((), 64), (("--resolution", 128), 128)):
        code, err = run_generate(bundle.path, prompt, "--out", out, "--steps", 2, "--guidance", 2, *flags)
        assert code == 0, err
        (wanted,) = draw_batch(replace(small_models, resolution=side), [prompt], 0, sigmas, 2.0)
        with Image.open(out) as image:
            pixels = np.asarray(image)
        assert pixels.shape == wanted.shape == (side, side, 3)
        error = np.sqrt(np.mean(np.square(pixels.astype(float) - wanted)))
        assert 20 * np.log10(255 / error) >= 25
    out.unlink()
    code, err = run_generate(bundle.path, prompt, "--out", out, "--resolution", 96)
    assert code == 2 and len(err.splitlines()) == 1 and not out.exists()
    assert "draws at 64, 128 px, not at 96; export it with --resolution" in err

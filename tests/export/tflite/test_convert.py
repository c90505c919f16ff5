"""From a component to a float32 file: names, parity, shared weights, and what the converter leaves behind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from litert_torch.fx_infra import decomp
from torch import nn

from lira_export.components import Component
from lira_export.rewrite.decoder import traceable_decoder
from lira_export.tflite.convert import to_tflite
from lira_export.tflite.delegation import undelegated
from lira_export.tflite.inventory import read_inventory
from lira_export.tflite.model import read, write
from lira_export.tflite.names import layers
from lira_export.tflite.target import require_shared_weights
from lira_runtime.backends.tflite import TfliteBackend
from lira_runtime.errors import BadInput
from lira_runtime.interface import TensorSpec


def test_every_resolution_is_a_signature_that_computes_what_eager_does(decoder) -> None:
    assert [graph.entry for graph in decoder.graphs] == ["r32", "r64"]
    backend = TfliteBackend()
    for graph in decoder.graphs:
        latent = torch.randn(graph.inputs[0].shape, generator=torch.Generator().manual_seed(1))
        backend.load(graph, decoder.path.parent)
        image = backend.run({"latent": latent.numpy()})["image"]
        backend.unload()
        with torch.inference_mode():
            expected = decoder.variants[graph.resolution].eager(latent)
        np.testing.assert_allclose(image, expected.numpy(), atol=1e-5)


def test_a_decoder_of_many_bands_is_left_to_xnnpack_whole(decoder, tmp_path: Path) -> None:
    eager = decoder.variants[64].eager
    banded = traceable_decoder(eager, (16, 4), band_rows=2)
    windows = {band.start for band in banded.bands}  # bands that read the same rows become one
    assert len(windows) == 6, "XNNPACK joins five tensors and no more"
    latent = TensorSpec(name="latent", shape=(1, 4, 16, 4), dtype="float32")
    image = TensorSpec(name="image", shape=(1, 3, 128, 32), dtype="float32")
    path = tmp_path / "decoder.tflite"
    to_tflite({"main": Component("decoder", eager, banded, (latent,), (image,))}, path)
    assert not undelegated(path, "main")


def test_a_denoiser_keeps_the_contracts_names_and_its_step_count(denoiser) -> None:
    backend, generator = TfliteBackend(), torch.Generator().manual_seed(2)
    for graph in denoiser.graphs:
        assert [tensor.name for tensor in graph.inputs] == ["latent", "timestep", "text_states"]
        backend.load(graph, denoiser.path.parent)
        for time in (0.9, 0.2):
            latent, text = (torch.randn(graph.inputs[i].shape, generator=generator) for i in (0, 2))
            inputs = {"latent": latent, "timestep": torch.tensor([time]), "text_states": text}
            with torch.inference_mode():
                velocity, info = denoiser.variants[graph.resolution].eager(*inputs.values())
            found = backend.run({name: value.numpy() for name, value in inputs.items()})
            np.testing.assert_allclose(found["velocity"], velocity.numpy(), atol=2e-5)
            assert found["reasoning_steps"].tolist() == info["total_steps"].tolist()
        backend.unload()


class _Reshaped(nn.Module):
    """(1, 8, 4) in six dimensions on the way, two of them exchanged."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.reshape(1, 2, 2, 2, 2, 2).transpose(1, 2) * 2).reshape(1, 8, 4)


def test_six_dimensions_in_a_file_are_seen(tmp_path: Path) -> None:
    spec = (TensorSpec(name="x", shape=(1, 8, 4), dtype="float32"),)
    path = tmp_path / "toy.tflite"
    to_tflite({"main": Component("decoder", _Reshaped(), _Reshaped(), spec, spec)}, path)
    assert read_inventory(path, "main").highest_rank == 6


def test_two_resolutions_hold_the_weights_once(decoder) -> None:
    weights = sum(4 * each.numel() for each in decoder.variants[64].eager.parameters())
    assert weights < decoder.path.stat().st_size < 1.3 * weights


def test_a_weight_that_is_stored_twice_is_noticed(decoder, tmp_path: Path) -> None:
    require_shared_weights(decoder.path)
    model = read(decoder.path)
    model.buffers.append(model.buffers[next(layers(model, model.subgraphs[1])).buffer])
    copied = next(layers(model, model.subgraphs[1]))
    for tensor in model.subgraphs[1].tensors:
        if tensor.buffer == copied.buffer:
            tensor.buffer = len(model.buffers) - 1
    write(model, tmp_path / "twice.tflite")
    with pytest.raises(RuntimeError, match=f"do not share the weights of {copied.path}"):
        require_shared_weights(tmp_path / "twice.tflite")


def test_every_layer_is_known_though_normalizations_move_into_weights(denoiser) -> None:
    model = read(denoiser.path)
    for subgraph, component in zip(model.subgraphs, denoiser.variants.values(), strict=True):
        modules = component.traceable.named_modules()
        wanted = {path for path, module in modules if isinstance(module, nn.Linear | nn.Conv2d)}
        assert {layer.path for layer in layers(model, subgraph)} == wanted


def softplus_decompositions() -> list[object]:
    """What every later conversion in this process would use."""
    tables = decomp.pre_convert_decomp(), decomp.pre_lower_decomp()
    return [table[torch.ops.aten.softplus.default] for table in tables]


class _Broken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError("no such operator, says the toy")


def test_a_converters_failure_names_its_log_and_leaves_its_tables_as_they_were(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = (TensorSpec(name="x", shape=(1, 2), dtype="float32"),)
    before = softplus_decompositions()
    with pytest.raises(BadInput, match="could not be converted") as caught:
        to_tflite({"main": Component("decoder", _Broken(), _Broken(), spec, spec)}, tmp_path / "toy.tflite")
    log = Path(str(caught.value).split("the traceback is in ")[1].rstrip("."))
    assert "says the toy" in log.read_text()
    log.unlink()
    assert softplus_decompositions() == before
    assert capfd.readouterr() == ("", "")

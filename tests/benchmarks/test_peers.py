"""The peers are what they say they are: size, arithmetic, values, and integer products throughout."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from diffusers import SanaTransformer2DModel
from torch import nn

import peers


def test_sana_has_the_parameters_of_its_paper():
    with torch.device("meta"):
        module, _ = peers.sana(32)
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(590e6, rel=0.01)  # arXiv 2410.10629, table 1


def test_taesd_has_the_parameters_of_its_published_decoder():
    with torch.device("meta"):
        module, _ = peers.taesd(32)
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(1.22e6, rel=0.01)  # taesd_decoder, 4.9 MB


def test_products_in_place_of_pointwise_convolutions_change_nothing(tiny_sana: dict[str, Any]):
    module, (latent, time, caption) = peers.sana(4, tiny_sana)
    original = SanaTransformer2DModel(**tiny_sana, sample_size=4).eval()
    original.load_state_dict({k: _like(original, k, v) for k, v in _original_names(module).items()})
    with torch.inference_mode():
        wanted = original(latent, caption, time, return_dict=False)[0]
        assert torch.allclose(module(latent, time, caption), wanted, atol=1e-5)


def test_every_product_of_sana_with_a_weight_is_integer(tiny_sana: dict[str, Any], cache: Path):
    module, _ = peers.sana(4, tiny_sana)
    linears = sum(isinstance(each, nn.Linear) for each in module.modules())
    graph = onnx.load(peers.sana_graph(4, tiny_sana)).graph
    weights = {each.name for each in graph.initializer}
    floating = [n.name for n in graph.node if n.op_type in ("MatMul", "Gemm") and weights & set(n.input)]
    assert floating == []
    assert Counter(n.op_type for n in graph.node)["MatMulInteger"] == linears


def test_int8_sana_still_computes_sana(tiny_sana: dict[str, Any], cache: Path):
    module, inputs = peers.sana(4, tiny_sana)
    with torch.inference_mode():
        wanted = module(*inputs).numpy()
    assert _psnr(_run(peers.sana_graph(4, tiny_sana), inputs), wanted) > 25


def test_both_forms_of_taesd_compute_taesd(tiny_taesd: dict[str, Any], cache: Path):
    module, inputs = peers.taesd(8, tiny_taesd)
    with torch.inference_mode():
        wanted = module(*inputs).numpy()
    assert np.allclose(_run(peers.taesd_graph(8, tiny_taesd), inputs), wanted, atol=1e-4)
    assert _psnr(_run(peers.taesd_int8_graph(8, tiny_taesd), inputs), wanted) > 25


def test_every_convolution_of_int8_taesd_is_integer(tiny_taesd: dict[str, Any], cache: Path):
    module, _ = peers.taesd(8, tiny_taesd)
    ops = Counter(n.op_type for n in onnx.load(peers.taesd_int8_graph(8, tiny_taesd)).graph.node)
    assert ops["QLinearConv"] == sum(isinstance(each, nn.Conv2d) for each in module.modules())
    assert ops["Conv"] == 0


def test_the_cache_is_used_again_and_not_for_another_configuration(tiny_taesd: dict[str, Any], cache: Path):
    first = peers.taesd_graph(8, tiny_taesd)
    written = first.stat().st_mtime_ns
    assert peers.taesd_graph(8, tiny_taesd) == first and first.stat().st_mtime_ns == written
    assert peers.taesd_graph(8, {**tiny_taesd, "latent_channels": 16}) != first


def _original_names(module: nn.Module) -> dict[str, torch.Tensor]:
    names = {name.removeprefix("transformer."): value for name, value in module.state_dict().items()}
    return {name.replace(".linear.", ".") if ".ff." in name else name: value for name, value in names.items()}


def _like(original: nn.Module, name: str, value: torch.Tensor) -> torch.Tensor:
    return value.reshape(original.state_dict()[name].shape)


def _run(graph: Path, inputs: tuple[torch.Tensor, ...]) -> np.ndarray:
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})[0]


def _psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return 20 * float(np.log10(np.abs(wanted).max() / np.sqrt(np.mean((found - wanted) ** 2))))

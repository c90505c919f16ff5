"""A nano bundle at 64 px and tiny peers: every script's core runs on them in seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import peers
from case import Case
from lira.sources import Request, load_models
from lira_export.bundle import Order, write_bundle
from lira_export.onnx.target import OnnxTarget
from lira_export.recipes import get_recipe
from lira_export.references import References
from lira_runtime.bundle import Bundle


@pytest.fixture(scope="session")
def nano(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Case:
    """16 tokens, latent f8c4, demo text encoder."""
    models = load_models(Request("nano", latent="f8c4", resolution=64, text_encoder="demo", seed=5))

    def export(folder: Path) -> None:
        order = Order("nano", OnnxTarget(), get_recipe("int8", "onnx"), folder / "bundle")
        write_bundle(order, References(models, (64,)), lambda line: None)

    return Case(models, Bundle.open(made_once("small-nano", export) / "bundle"), threads=2)


@pytest.fixture(scope="session")
def tiny_sana() -> dict[str, Any]:
    """Two blocks, 64 wide."""
    narrow = {"num_attention_heads": 2, "num_layers": 2, "num_cross_attention_heads": 2, "cross_attention_head_dim": 32}
    return {**peers.SANA_600M, **narrow, "cross_attention_dim": 64, "caption_channels": 48}


@pytest.fixture(scope="session")
def tiny_taesd() -> dict[str, Any]:
    """One block of 16 channels at every size."""
    return {**peers.TAESD, "decoder_block_out_channels": (16,) * 4, "num_decoder_blocks": (1,) * 4}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of peers in place of build/peers."""
    monkeypatch.setattr(peers, "CACHE", tmp_path / "peers")
    return tmp_path / "peers"

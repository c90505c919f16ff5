"""CLIP text encoders: presets, the factored table, seeds, and loading from a local directory."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from lira.text import TEXT_PRESETS, FactoredEmbedding, TextEncoder, load_text_encoder, seeded_text_encoder
from lira_runtime.errors import BadInput


@pytest.mark.parametrize(
    ("name", "width", "parameters"), [("vit-l-14", 768, 123_060_480), ("vit-b-32", 512, 63_165_952)]
)
def test_a_public_preset_has_the_size_of_openais_text_model(name: str, width: int, parameters: int) -> None:
    with torch.device("meta"):
        encoder = TextEncoder(name)
    assert encoder.width == width == TEXT_PRESETS[name].width
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


def test_the_demo_keeps_every_word_at_a_lower_rank() -> None:
    table = TextEncoder("demo").clip.embeddings.token_embedding
    assert isinstance(table, FactoredEmbedding)
    assert table.table.weight.shape == (49408, 32)
    assert table(torch.tensor([[49407]])).shape == (1, 1, 192)


def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    first, second, other = (seeded_text_encoder("demo", seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    matrices = [pair for pair in zip(first.parameters(), other.parameters(), strict=True) if pair[0].ndim == 2]
    assert not any(torch.equal(a, b) for a, b in matrices)


def test_later_words_do_not_change_earlier_states() -> None:
    encoder = seeded_text_encoder("demo", 0)
    ids = torch.randint(0, 49407, (1, 77))
    other = ids.clone()
    other[0, 40:] = torch.randint(0, 49407, (37,))
    with torch.no_grad():
        a, b = encoder(ids), encoder(other)
    assert torch.allclose(a[:, :40], b[:, :40], atol=1e-5) and not torch.allclose(a[:, 40:], b[:, 40:], atol=1e-2)


def test_a_directory_of_transformers_loads_with_its_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = dataclasses.replace(TEXT_PRESETS["vit-b-32"], layers=1)
    monkeypatch.setitem(TEXT_PRESETS, "vit-b-32", preset)
    torch.manual_seed(0)
    stored = CLIPTextModel(preset.config()).half().eval()
    stored.save_pretrained(tmp_path)
    loaded = load_text_encoder("vit-b-32", tmp_path)
    ids = torch.randint(0, 49408, (1, 77))
    with torch.no_grad():
        states = loaded(ids)
        wanted = stored.float()(input_ids=ids).last_hidden_state
    assert states.shape == (1, 77, 512) and states.dtype == torch.float32
    torch.testing.assert_close(states, wanted, rtol=1e-5, atol=1e-5)
    assert not loaded.training


def test_a_directory_of_another_width_is_refused_and_both_widths_named(tmp_path: Path) -> None:
    config = CLIPTextConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2)
    CLIPTextModel(config).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="width 64.*has 512"):
        load_text_encoder("vit-b-32", tmp_path)


def test_a_missing_directory_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No CLIP text weights"):
        load_text_encoder("vit-b-32", tmp_path / "nowhere")


def test_an_unknown_preset_is_bad_input() -> None:
    with pytest.raises(BadInput, match="demo"):
        TextEncoder("t5")

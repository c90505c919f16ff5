"""CLIP text encoders: presets, the factored table, seeds, and loading from a local directory."""

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


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    first, second = seeded_text_encoder("demo", 1), seeded_text_encoder("demo", 1)
    assert torch.equal(torch.rand(1), wanted)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_later_words_do_not_change_earlier_states() -> None:
    encoder = seeded_text_encoder("demo", 0)
    ids = torch.randint(0, 49407, (1, 77))
    other = ids.clone()
    other[0, 40:] = torch.randint(0, 49407, (37,))
    with torch.no_grad():
        a, b = encoder(ids), encoder(other)
    assert torch.allclose(a[:, :40], b[:, :40], atol=1e-5) and not torch.allclose(a[:, 40:], b[:, 40:], atol=1e-2)


def test_a_transformers_directory_loads_and_a_wrong_width_is_named(tmp_path: Path) -> None:
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

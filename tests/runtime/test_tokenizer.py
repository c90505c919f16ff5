"""Token for token against OpenAI's own code (clip_reference.py), and against transformers where the two differ."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.tokenizer import ClipTokenizer, read_merges

PROMPTS = [
    "a photo of a cat",
    "A Red  Apple\ton a\nBLUE background!!",
    "",
    "   ",
    "it's 12345 o'clock, they'll've we're I'd I'm",
    "🍎 on a 🟦, 👩‍👩‍👧 and 🏳️‍🌈",
    "赤いリンゴ 红苹果 빨간 사과",
    "cafe\u0301 = café, Z\u0351\u036b\u0343\u032a\u0302 ạ̈",
    "ﬁ İstanbul ΣΊΣΥΦΟΣ ß ſ",
    "<|startoftext|>a cat<|endoftext|> <|ENDOFTEXT|>",
    "\u00a0non\u2003breaking\u200bspaces\ufeff \x00\x07 control",
    'underscores_and-dashes/slashes\\"quotes"',
    "x" * 2000,
]
# Here OpenAI's code differs from Hugging Face's, whose ids we give: Python's final sigma, an upper-case special token.
ONLY_TRANSFORMERS = {"ﬁ İstanbul ΣΊΣΥΦΟΣ ß ſ", "<|startoftext|>a cat<|endoftext|> <|ENDOFTEXT|>"}
OPENAI_MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"

RUNTIME = Path(__file__).parents[2] / "runtime"
SAVE = "import sys; from lira_runtime.tokenizer import ClipTokenizer; ClipTokenizer.vendored().save(sys.argv[1])"

# Words, so that merges run deep; and any Unicode, but for letters whose case or whose NFC is a matter of taste.
WORDS = st.text("aaabcdeeefghiijklmnnooprrssttuvwyzAEST  '.,!-0129", max_size=150)
ANY_SCRIPT = st.text(
    st.characters(categories=("L", "N", "P", "S", "M", "Zs"), exclude_characters="Σſ"),
    max_size=60,
)


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return ClipTokenizer.vendored()


@pytest.fixture(scope="module")
def openai() -> Any:
    pytest.importorskip("regex", reason="regex, which transformers brings, is not installed: no oracle")
    from clip_reference import ReferenceTokenizer

    return ReferenceTokenizer()


@pytest.fixture(scope="module")
def reference() -> Any:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: nothing to compare with")
    merges = read_merges()
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = [*symbols, *(s + "</w>" for s in symbols), *("".join(p) for p in merges)]
    vocabulary = {word: i for i, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    assert len(vocabulary) == 49408
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges)


def reference_ids(reference: Any, prompt: str) -> list[int]:
    row: list[int] = reference(prompt, padding="max_length", truncation=True, max_length=77)["input_ids"]
    return row


def test_the_merges_are_openais_own_file() -> None:
    content = (RUNTIME / "lira_runtime" / "data" / "clip_bpe_merges.txt.gz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == OPENAI_MERGES_SHA256


@pytest.mark.parametrize("prompt", [p for p in PROMPTS if p not in ONLY_TRANSFORMERS])
def test_hard_prompts_give_openais_ids(tokenizer: ClipTokenizer, openai: Any, prompt: str) -> None:
    assert tokenizer.encode(prompt).ids[0].tolist() == openai.ids(prompt)


@settings(max_examples=200, deadline=None)
@given(prompt=st.one_of(WORDS, ANY_SCRIPT))
def test_any_text_gives_openais_ids(tokenizer: ClipTokenizer, openai: Any, prompt: str) -> None:
    assert tokenizer.encode(prompt).ids[0].tolist() == openai.ids(prompt)


def test_the_published_example_gives_the_published_ids(tokenizer: ClipTokenizer) -> None:
    tokens = tokenizer.encode("a photo of a cat")
    assert tokens.ids.shape == (1, 77)
    assert tokens.ids.dtype == np.int32
    assert tokens.ids[0, :7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert (tokens.ids[0, 7:] == 49407).all()
    assert not tokens.truncated
    assert tokens.dropped == ""
    assert tokenizer.encode("Hello World!").ids[0, :5].tolist() == [49406, 3306, 1002, 256, 49407]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_hard_prompts_give_transformers_ids(tokenizer: ClipTokenizer, reference: Any, prompt: str) -> None:
    assert tokenizer.encode(prompt).ids[0].tolist() == reference_ids(reference, prompt)


@settings(max_examples=100, deadline=None)
@given(prompt=st.text(max_size=120))
def test_any_text_gives_transformers_ids(tokenizer: ClipTokenizer, reference: Any, prompt: str) -> None:
    assert tokenizer.encode(prompt).ids[0].tolist() == reference_ids(reference, prompt)


def test_a_saved_tokenizer_loads_as_the_same_one(tokenizer: ClipTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = ClipTokenizer.load(tmp_path / "tokenizer.json")
    for prompt in PROMPTS:
        assert (loaded.encode(prompt).ids == tokenizer.encode(prompt).ids).all()


def test_two_processes_that_hash_differently_save_the_same_bytes(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONPATH": str(RUNTIME), "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", SAVE, str(tmp_path / seed)], env=environment, check=True)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_75_words_fit_and_the_76th_is_named_as_dropped(tokenizer: ClipTokenizer) -> None:
    fits = " ".join(["cat"] * 75)
    assert not tokenizer.encode(fits).truncated
    cut = tokenizer.encode(fits + " Dog!")
    assert cut.truncated
    assert cut.dropped == "Dog!"
    assert (cut.ids == tokenizer.encode(fits).ids).all()
    assert cut.ids[0, -1] == 49407


def test_text_that_is_not_unicode_is_refused(tokenizer: ClipTokenizer) -> None:
    with pytest.raises(BadInput, match="Unicode"):
        tokenizer.encode("a \udcff cat")


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"version": "1.0", "model": {"type": "BPE"}}'])
def test_a_file_that_is_no_tokenizer_is_damaged(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DamagedBundle):
        ClipTokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("changed", [{"continuing_subword_prefix": "\u200b"}, {"dropout": 0.5}, {"type": "Unigram"}])
def test_a_model_that_is_not_clips_is_damaged_and_makes_no_noise(
    tokenizer: ClipTokenizer, changed: dict[str, object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """At a prefix the library panics, which is no Exception and says so on stderr."""
    tokenizer.save(tmp_path / "tokenizer.json")
    record = json.loads((tmp_path / "tokenizer.json").read_text())
    record["model"] |= changed
    (tmp_path / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(DamagedBundle, match="is not a tokenizer file"):
        ClipTokenizer.load(tmp_path / "tokenizer.json")
    assert capfd.readouterr().err == ""


def test_another_models_tokenizer_is_damaged(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    Tokenizer(BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DamagedBundle, match="not a CLIP tokenizer"):
        ClipTokenizer.load(tmp_path / "tokenizer.json")

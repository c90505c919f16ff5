"""CLIP's byte-pair tokenizer, through the `tokenizers` library.

Normalise: NFC, white space collapsed, lower case. Split: CLIP's expression. Then byte level and 48894 merges.
Vocabulary order: 256 byte symbols, the same with "</w>", the merges joined, start of text, end of text.
"""

import gzip
import importlib.resources
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from lira_runtime.errors import DamagedBundle
from lira_runtime.interface import PROMPT_TOKENS
from lira_runtime.prompt import check_unicode

START_TEXT, END_TEXT = "<|startoftext|>", "<|endoftext|>"
START_ID, END_ID = 49406, 49407
MERGES_COUNT = 49152 - 256 - 2
_MERGES_FILE = "data/clip_bpe_merges.txt.gz"
_SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"  # CLIP's own


@dataclass(frozen=True)
class Tokens:
    """A prompt as the text encoder takes it: ids int32 (1, 77), start ... end, padded with the end token.

    `dropped` is the tail of the prompt that did not fit ("" where `truncated` is false).
    """

    ids: NDArray[np.int32]
    truncated: bool
    dropped: str


class _Model(Struct):
    """Of CLIP. A prefix makes the library panic, and dropout makes tokens a matter of chance."""

    type: Literal["BPE"]
    dropout: None = None
    continuing_subword_prefix: None = None


class _File(Struct):
    """As much of a tokenizer's file as is looked at before the library reads it."""

    model: _Model


class ClipTokenizer:
    """Turns prompts into CLIP token ids; build it with vendored() or load()."""

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend

    @classmethod
    def vendored(cls) -> Self:
        """Build the tokenizer from the merges that ship with this package."""
        merges = read_merges()
        symbols = _byte_symbols()
        words = symbols + [s + "</w>" for s in symbols] + [a + b for a, b in merges] + [START_TEXT, END_TEXT]
        vocabulary = {word: i for i, word in enumerate(words)}
        backend = Tokenizer(BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=END_TEXT))
        backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_SPLIT), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in (START_TEXT, END_TEXT)])
        backend.post_processor = processors.RobertaProcessing(
            (END_TEXT, END_ID), (START_TEXT, START_ID), trim_offsets=False, add_prefix_space=False
        )
        return cls(backend)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a `tokenizer.json`; raises DamagedBundle where it is not a CLIP tokenizer."""
        try:
            msgspec.json.decode(Path(path).read_bytes(), type=_File)
            backend = Tokenizer.from_file(os.fspath(path))
        except (KeyboardInterrupt, MemoryError, OSError):
            raise
        except (
            BaseException
        ) as error:  # the library raises bare Exception for every cause, and panics with no Exception
            raise DamagedBundle(f"{path} is not a tokenizer file: {error}.", "tokenizer_unreadable") from error
        if (backend.token_to_id(START_TEXT), backend.token_to_id(END_TEXT)) != (START_ID, END_ID):
            raise DamagedBundle(
                f"{path} is not a CLIP tokenizer: its start and end tokens are elsewhere.", "tokenizer_unreadable"
            )
        return cls(backend)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tokenizer in the `tokenizers` library's JSON format."""
        Path(path).write_text(self._backend.to_str(pretty=True), encoding="utf-8")

    def encode(self, prompt: str) -> Tokens:
        """Return the prompt's tokens; raises BadInput where it is not valid Unicode.

        The empty prompt is allowed: it is the unconditional half of guidance.
        """
        check_unicode(prompt)
        encoding = self._backend.encode(prompt, add_special_tokens=False)
        room = PROMPT_TOKENS - 2
        ids = [START_ID, *encoding.ids[:room], END_ID]
        row = np.full((1, PROMPT_TOKENS), END_ID, dtype=np.int32)
        row[0, : len(ids)] = ids
        truncated = len(encoding.ids) > room
        return Tokens(row, truncated, prompt[encoding.offsets[room][0] :] if truncated else "")


def read_merges() -> list[tuple[str, str]]:
    """Return CLIP's merges in rank order, from the vendored table."""
    packed = importlib.resources.files("lira_runtime").joinpath(_MERGES_FILE).read_bytes()
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : 1 + MERGES_COUNT]
    pairs = [line.split() for line in lines]
    return [(first, second) for first, second in pairs]


def _byte_symbols() -> list[str]:
    """Return the 256 printable stand-ins for bytes in vocabulary order: the printable bytes first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in set(printable)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]

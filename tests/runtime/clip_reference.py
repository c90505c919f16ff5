"""OpenAI's simple_tokenizer.py of CLIP (MIT licence) in pure Python, as an oracle: clip.tokenize(text, truncate=True).

Left out are ftfy and html.unescape, which mend mojibake and HTML before any token is made; of ftfy NFC remains.
"""

import gzip
import unicodedata
from itertools import pairwise
from pathlib import Path

import regex

MERGES = Path(__file__).parents[2] / "runtime" / "lira_runtime" / "data" / "clip_bpe_merges.txt.gz"
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
PATTERN = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


def bytes_to_unicode() -> dict[int, str]:
    """Return a printable stand-in for each byte, in the order of the vocabulary."""
    codes = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in codes]
    return {byte: chr(byte) for byte in codes} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class ReferenceTokenizer:
    """Byte-pair encoding as the paper's code does it: merge the best-ranked pair until none is left."""

    def __init__(self) -> None:
        lines = gzip.decompress(MERGES.read_bytes()).decode("utf-8").split("\n")[1 : 49152 - 256 - 2 + 1]
        merges = [tuple(line.split()) for line in lines]
        self.byte_encoder = bytes_to_unicode()
        symbols = list(self.byte_encoder.values())
        vocabulary = [*symbols, *(s + "</w>" for s in symbols), *("".join(pair) for pair in merges), *SPECIAL]
        self.encoder = {word: i for i, word in enumerate(vocabulary)}
        self.ranks = {pair: i for i, pair in enumerate(merges)}

    def ids(self, text: str) -> list[int]:
        """Return 77 ids: start, at most 75 tokens, end, and the end token as padding (as Hugging Face pads)."""
        clean = regex.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip().lower()
        tokens: list[int] = []
        for piece in PATTERN.findall(clean):
            word = "".join(self.byte_encoder[byte] for byte in piece.encode("utf-8"))
            tokens += [self.encoder[part] for part in ((piece,) if piece in SPECIAL else self.bpe(word))]
        row = [49406, *tokens[:75], 49407]
        return row + [49407] * (77 - len(row))

    def bpe(self, token: str) -> tuple[str, ...]:
        """Split a word of stand-ins into the vocabulary's parts."""
        word = (*token[:-1], token[-1] + "</w>")
        while len(word) > 1:
            best = min(pairwise(word), key=lambda pair: self.ranks.get(pair, float("inf")))
            if best not in self.ranks:
                break
            word = _merged(word, best)
        return word


def _merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    parts: list[str] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            parts.append(pair[0] + pair[1])
            i += 2
        else:
            parts.append(word[i])
            i += 1
    return tuple(parts)

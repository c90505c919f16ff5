"""tokens.json: what transformers' CLIP tokenizer of the vendored merges says, and byte-pair encoding in plain Python.

Both must say the same. transformers' has the runtime's library under it, so the second is the independent one; it finds
what was dropped, too. The steps, in its words: docs/apps.md.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any

import regex
from clip_reference import SPECIAL, ReferenceTokenizer
from prompts import every_prompt

ROOM = 75
"""Tokens that fit between start and end."""
EXACT_SPECIAL = regex.compile(r"(<\|startoftext\|>|<\|endoftext\|>)")
PIECES = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.V1
)
PLAIN = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.V1)
"""A piece that is a special token's text only once it is in lower case is split once more, by this."""

Placed = tuple[str, int]
"""A character after normalising, and where in the prompt what became it begins."""


def composed(text: str, start: int) -> Iterator[Placed]:
    """NFC, stretch by stretch: a stretch begins where what is before it cannot change by what follows."""
    begin = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not _may_part(text, begin, end):
            continue
        yield from ((char, start + begin) for char in unicodedata.normalize("NFC", text[begin:end]))
        begin = end


def _may_part(text: str, begin: int, end: int) -> bool:
    """Whether what begins at `end` is composed with nothing that began at `begin`."""
    if unicodedata.combining(text[end]):
        return False
    before, both = unicodedata.normalize("NFC", text[begin:end]), unicodedata.normalize("NFC", text[begin : end + 1])
    return both == before + unicodedata.normalize("NFC", text[end])


def normalised(text: str, start: int) -> list[Placed]:
    """NFC, each run of white space one space, and every character for itself in lower case."""
    made: list[Placed] = []
    for char, place in composed(text, start):
        if regex.fullmatch(r"\s", char):
            if not made or made[-1][0] != " ":
                made.append((" ", place))
        else:
            made += [(low, place) for low in char.lower()]
    return made


@cache
def reference() -> ReferenceTokenizer:
    """Merges and vocabulary."""
    return ReferenceTokenizer()


def placed_tokens(prompt: str) -> Iterator[tuple[int, int]]:
    """Every token of a prompt: its number, and where in the prompt the character begins that its first byte is of."""
    start = 0
    for part in EXACT_SPECIAL.split(prompt):
        if part in SPECIAL:
            yield reference().encoder[part], start
        else:
            chars = normalised(part, start)
            text = "".join(char for char, _ in chars)
            for piece in PIECES.finditer(text):
                for inner in PLAIN.finditer(piece.group()):
                    begin = piece.start() + inner.start()
                    yield from word_tokens(chars[begin : begin + len(inner.group())])
        start += len(part)


def word_tokens(chars: list[Placed]) -> Iterator[tuple[int, int]]:
    """The tokens of one word."""
    stand_in, encoder = reference().byte_encoder, reference().encoder
    places = [place for char, place in chars for _ in char.encode()]
    symbols = "".join(stand_in[byte] for char, _ in chars for byte in char.encode())
    at = 0
    for part in reference().bpe(symbols):
        yield encoder[part], places[at]
        at += len(part.removesuffix("</w>"))


def transformers_tokenizer() -> Any:
    """transformers' CLIP tokenizer, of the reference's vocabulary."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(vocab=reference().encoder, merges=[pair for pair, _ in reference().ranks.items()])


def make(with_transformers: bool = True) -> dict[str, Any]:
    """The content of tokens.json; raises ValueError where the two do not agree."""
    theirs = transformers_tokenizer() if with_transformers else None
    entries = []
    for prompt in every_prompt():
        tokens = list(placed_tokens(prompt))
        ids = [token for token, _ in tokens]
        if theirs is not None and theirs(prompt, add_special_tokens=False)["input_ids"] != ids:
            raise ValueError(f"transformers says otherwise of {prompt!r}")
        dropped = prompt[tokens[ROOM][1] :] if len(tokens) > ROOM else ""
        entries.append({"prompt": prompt, "ids": ids[:ROOM], "dropped": dropped})
    return {"prompts": entries}

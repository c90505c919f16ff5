"""The 500 prompts of tokens.json, of characters that Unicode 13 knows: old telephones know no later ones."""

import unicodedata

from noise_vectors import words
from prompt_edges import ASCII, GROUPS
from prompt_phrases import PHRASES

COUNT = 500
LETTERS = """
00c0-00d6 0100-0118 0180-0198 0250-0268 1e00-1e18 2c60-2c78 a722-a73a ab30-ab48 0370-0377 03a3-03bb 1f00-1f15
0400-0418 0460-0478 0500-0518 2de0-2df8 a640-a658 1c80-1c88 0531-0548 0561-0578 10a0-10b8 10d0-10e8 2d00-2d18
05d0-05ea 0620-0638 066e-0686 0750-0768 08a0-08b4 fb50-fb68 fe70-fe74 0710-0728 074d-0768 0780-0798 07ca-07e2
0800-0815 0840-0858 0904-091c 0985-098c 0a05-0a0a 0a85-0a8d 0b05-0b0c 0b92-0b95 0c05-0c0c 0c85-0c8c 0d05-0d0c
0d85-0d96 0e01-0e19 0e86-0e8a 0f40-0f47 1000-1018 aa60-aa78 1100-1118 ac00-ac18 1200-1218 ab01-ab06 13a0-13b8
1400-1418 1700-170c 1720-1734 1740-1751 1760-176c 1780-1798 1820-1838 1880-1898 1900-191e 1950-196d 1980-1998
1a00-1a16 1a20-1a38 1b05-1b1d 1b83-1b9b 1bc0-1bd8 1c00-1c18 1c5a-1c72 2c00-2c18 2c80-2c98 2d30-2d48 3041-3058
30a1-30b8 3105-311d 31a0-31b8 3400-3410 4e00-4e18 a000-a018 a4d0-a4e8 a500-a518 a6a0-a6b8 a800-a818 a840-a858
a882-a89a a90a-a922 a930-a946 a984-a99c aa00-aa18 aa80-aa98 aae0-aaf4 abc0-abd8 10330-10348 10400-10418 104b0-104c8
10c80-10c98 10d00-10d18 10e80-10e98 11103-1111b 11150-11168 11183-1119b 112b0-112c8 11400-11418 11480-11498
11600-11618 11680-11698 118a0-118b8 11d0b-11d23 11d67-11d68 16a40-16a58 16ad0-16ae8 16b00-16b18 16e40-16e58
16f00-16f18 1e100-1e118 1e2c0-1e2d8 1e900-1e918 20000-20010
"""
"""Neighbours in Unicode, letters of every script, the first and the last; no two scripts in one."""
DIGITS = """
0660 06f0 07c0 0966 09e6 0a66 0ae6 0b66 0be6 0c66 0ce6 0d66 0de6 0e50 0ed0 0f20 1040 1090 17e0 1810 1946 19d0 1a80 1a90
1b50 1bb0 1c40 1c50 a620 a8d0 a900 a9d0 a9f0 aa50 abf0 ff10 104a0 10d30 11066 110f0 11136 111d0 112f0 11450 114d0 11650
116c0 11730 118e0 11c50 11d50 11da0 16a60 16b50 1d7ce 1e140 1e2f0 1e950
"""
"""The zero of ten digits."""
NEW_IN_14 = """
61d 870-88e 890-891 898-89f 8b5 8c8-8d2 c3c c5d cdd 170d 1715 171f 180f 1ac1-1ace 1b4c 1b7d-1b7e 1dfa 20c0 2c2f 2c5f
2e53-2e5d 9ffd-9fff a7c0-a7c1 a7d0-a7d1 a7d3 a7d5-a7d9 a7f2-a7f4 fbc2 fd40-fd4f fdcf fdfe-fdff 10570-105bc 10780-107ba
10f70-10f89 11070-11075 110c2 116b9 11740-11746 11ab0-11abf 12f90-12ff2 16a70-16ac9 1aff0-1affe 1b11f-1b122 1cf00-1cfc3
1d1e9-1d1ea 1df00-1df1e 1e290-1e2ae 1e7e0-1e7fe 1f6dd-1f6df 1f7f0 1f979 1f9cc 1fa7b-1fa7c 1faa9-1faac 1fab7-1faba
1fac3-1fac5 1fad7-1fad9 1fae0-1fae7 1faf0-1faf6 2a6de-2a6df 2b735-2b738
"""
"""What Unicode 14 added, which Python 3.11 knows."""


def ranges(text: str) -> list[tuple[int, int]]:
    """First and last code of each."""
    parts = [each.partition("-") for each in text.split()]
    return [(int(first, 16), int(last or first, 16)) for first, _, last in parts]


def alphabet(first: int, last: int) -> str:
    """Words of three, then of eight letters."""
    letters = "".join(map(chr, range(first, last + 1)))
    return f"{letters[:3]} {letters[3:6]} {letters[6:14]} {letters[14:]}".strip()


def numerals() -> list[str]:
    """Four scripts' digits in a prompt, beside words."""
    zeros = [int(each, 16) for each in DIGITS.split()]
    every = ["".join(chr(zero + digit) for digit in (1, 0, 9, 5)) for zero in zeros]
    fours = [every[start : start + 4] for start in range(0, len(every), 4)]
    return ["cat ".join(four) + f" {four[0][0]}" for four in fours]


def mixture(number: int) -> str:
    """Pieces of other prompts, one script against the next, chosen by the noise's own words."""
    pool = [*PHRASES, *ASCII, *(each for group in GROUPS[1:-1] for each in group)]
    chosen = iter(words(number, 32))
    pieces = []
    for _ in range(2 + next(chosen) % 4):
        piece = pool[next(chosen) % len(pool)]
        start = next(chosen) % (len(piece) + 1)
        pieces.append(piece[start : start + 1 + next(chosen) % 12])
    return ("", " ", "", ", ")[next(chosen) % 4].join(pieces)


def every_prompt() -> list[str]:
    """500 different ones; raises ValueError for a character that Unicode 13 does not know."""
    made = [*PHRASES, *(each for group in GROUPS for each in group)]
    made += [*(alphabet(first, last) for first, last in ranges(LETTERS)), *numerals()]
    number = 0
    while len(unique := list(dict.fromkeys(made))) < COUNT:
        made.append(mixture(number))
        number += 1
    unknown = {char for prompt in unique for char in prompt if not in_unicode_13(char)}
    if unknown:
        raise ValueError(f"not in Unicode 13: {sorted(map(hex, map(ord, unknown)))}")
    return unique


def in_unicode_13(char: str) -> bool:
    """Whether it is assigned there; for characters of private use and surrogates too it is not."""
    newer = any(first <= ord(char) <= last for first, last in ranges(NEW_IN_14))
    return not newer and unicodedata.category(char) not in {"Cn", "Co", "Cs"}

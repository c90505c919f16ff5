"""Where the lengths in a protobuf are, without its schema, and the same file with another length."""

from collections.abc import Iterator
from random import Random

LENGTHS = (0, 1, 2, 127, 128, 2**14, 2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


def with_changed_length(random: Random, data: bytes) -> tuple[bytes, str]:
    """The same bytes, but for one length, and what was done."""
    begin, end = random.choice(list(lengths(data)))
    length, _ = _varint(data, begin)
    others = [each for each in (*LENGTHS, length + 1, max(length - 1, 0), length * 2) if each != length]
    wanted = random.choice(others)
    return data[:begin] + _encoded(wanted) + data[end:], f"length at {begin}: {length} -> {wanted}"


def lengths(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Where each length begins and ends, in messages within messages too as far as they read as such."""
    at, end = begin, len(data) if end is None else end
    while at < end:
        tag, at = _varint(data, at)
        if tag & 7 == VARINT:
            _, at = _varint(data, at)
        elif tag & 7 in (FIXED64, FIXED32):
            at += 8 if tag & 7 == FIXED64 else 4
        elif tag & 7 == DELIMITED:
            length, inner = _varint(data, at)
            yield at, inner
            if inner + length <= end and _reads(data, inner, inner + length):
                yield from lengths(data, inner, inner + length)
            at = inner + length
        else:
            return


def _reads(data: bytes, begin: int, end: int) -> bool:
    """Whether bytes are a message."""
    at = begin
    try:
        while at < end:
            tag, at = _varint(data, at)
            if tag >> 3 == 0 or tag & 7 not in (VARINT, FIXED64, DELIMITED, FIXED32):
                return False
            if tag & 7 == VARINT:
                _, at = _varint(data, at)
            elif tag & 7 == DELIMITED:
                length, at = _varint(data, at)
                at += length
            else:
                at += 8 if tag & 7 == FIXED64 else 4
    except IndexError:
        return False
    return at == end and end > begin


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _encoded(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])

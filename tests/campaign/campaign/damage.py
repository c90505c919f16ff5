"""What accidents do to a bundle: bytes change, files go, change places or become something else. No hash is mended.

Each takes a source of chance and a bundle's folder, changes something there, and says what.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from campaign.bundles import MANIFEST, SIGNATURE, files_of, pick, put
from campaign.hostile import leaves, value_for, with_leaf
from campaign.protobuf import with_changed_length

Damage = Callable[[Random, Path], str]


def bit(random: Random, bundle: Path) -> str:
    """One bit of one file."""
    path = pick(random, bundle)
    data = bytearray(path.read_bytes())
    at = random.randrange(8 * len(data))
    data[at // 8] ^= 1 << at % 8
    put(path, data)
    return f"{path.name} bit {at}"


def run_of_bytes(random: Random, bundle: Path) -> str:
    """Some bytes of one file become others."""
    path = pick(random, bundle)
    data = bytearray(path.read_bytes())
    before = bytes(data)
    at, length = random.randrange(len(data)), random.choice([1, 2, 4, 16, 512])
    data[at : at + length] = random.choice([bytes(length), b"\xff" * length, random.randbytes(length)])[
        : len(data) - at
    ]
    if data == before:
        data[at] ^= 0x55
    put(path, data)
    return f"{path.name} {length} bytes at {at}"


def truncation(random: Random, bundle: Path) -> str:
    """A file ends at a 64th of its length."""
    path, part = pick(random, bundle), random.randrange(64)
    data = path.read_bytes()
    put(path, data[: len(data) * part // 64])
    return f"{path.name} cut at {part}/64"


def extension(random: Random, bundle: Path) -> str:
    """Something follows a file's end."""
    path = pick(random, bundle)
    put(path, path.read_bytes() + random.choice([b"\0", b"\n", b" ", b"{}", random.randbytes(99)]))
    return f"{path.name} is longer"


def loss(random: Random, bundle: Path) -> str:
    """A file is not there."""
    path = pick(random, bundle)
    path.unlink()
    return f"{path.name} is missing"


def exchange(random: Random, bundle: Path) -> str:
    """Two files of different content change places."""
    names = [name for name in files_of(bundle) if name != SIGNATURE]
    while True:
        one, other = (bundle / name for name in random.sample(names, 2))
        first, second = one.read_bytes(), other.read_bytes()
        if first != second:
            put(one, second)
            put(other, first)
            return f"{one.name} and {other.name} in each other's place"


def length_field(random: Random, bundle: Path) -> str:
    """A length within a graph's protobuf is another."""
    path = pick(random, bundle, (".onnx",))
    data, note = with_changed_length(random, path.read_bytes())
    put(path, data)
    return f"{path.name} {note}"


def manifest_value(random: Random, bundle: Path) -> str:
    """A value in the manifest is another, and its checksum is not."""
    path = bundle / MANIFEST
    record = json.loads(path.read_bytes())
    where = random.choice(leaves(record))
    value = value_for(random, where)
    put(path, json.dumps(with_leaf(record, where, value), indent=2).encode(errors="replace"))
    return f"manifest {'.'.join(map(str, where))} = {str(value)[:40]!r}"


def link(random: Random, bundle: Path) -> str:
    """A link lies where a file should, to the very content or to another's."""
    path = pick(random, bundle)
    away = bundle.parent / "away"
    away.unlink(missing_ok=True)
    path.rename(away)
    path.symlink_to(random.choice([str(away), "../away", "/dev/zero", "/dev/stdin", "/proc/self/environ", path.name]))
    return f"{path.name} is a link to {os.readlink(path)}"


def other_thing(random: Random, bundle: Path) -> str:
    """A folder, a pipe or a socket lies where a file should."""
    path, kind = pick(random, bundle), random.choice(["folder", "pipe", "socket"])
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        here = os.getcwd()
        os.chdir(bundle)  # a socket's path has 107 bytes at most
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(here)
    return f"{path.name} is a {kind}"


DAMAGES: Mapping[str, Damage] = {
    each.__name__: each
    for each in (
        bit,
        run_of_bytes,
        truncation,
        extension,
        loss,
        exchange,
        length_field,
        manifest_value,
        link,
        other_thing,
    )
}

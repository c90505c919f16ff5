"""Values that programs stumble over, and where to put them in JSON."""

import copy
from random import Random
from typing import Any

Place = tuple[str | int, ...]

NUMBERS = (0, -1, 1, 7, 255, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30, 1e308, -0.0, 1.5)
WRITTEN = ("1e999", "-1e999", "1" + "0" * 5000, "NaN", "Infinity", "0x10", "1_000", "+1", "01", "1.", "1e", "٣")
"""Numbers as text that JSON may not know; put in without quotes."""
NAMES = (
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "\x1b[2J",
    "\u202eexe.onnx",
    "\ufeff",
    "\u200b",
    "e\u0301",
    "🍎" * 50,
    "x" * 256,
    "x" * 100_000,
    "ﬁ",
    "\ud7ff\ue000",
    "\U0010ffff",
    "%s%n",
    "{0}",
    "$HOME",
    "None",
    "İ",
)
PATHS = (
    "../outside",
    "../../outside",
    "a/../../outside",
    "/etc/passwd",
    "/dev/stdin",
    "/dev/zero",
    "/proc/self/mem",
    "..",
    ".",
    "./tokenizer.json",
    "tokenizer.json/",
    "tokenizer.json/.",
    "//tokenizer.json",
    "a//b",
    "..\\outside",
    "C:\\outside",
    "C:outside",
    "\\\\server\\share",
    "file:///etc/passwd",
    "tokenizer.json\0.onnx",
    "TOKENIZER.JSON",
    "tokenizer.json ",
    "tokenizer.json:stream",
    "manifest.json",
    "manifest.json.sig",
    "~/.bashrc",
    "con",
    "a/" * 120 + "b",
    "x" * 255,
    "\u2025/outside",
    "．．/outside",
    "..\u2215outside",
)


def value_for(random: Random, where: Place) -> Any:
    """Something hostile for a place in JSON: for paths above all paths."""
    if where and where[-1] == "path" and random.random() < 0.7:
        return random.choice(PATHS)
    pool: list[Any] = [random.choice(NUMBERS), random.choice(NAMES), random.choice(PATHS), None, True, [], {}]
    pool += [random.getrandbits(random.choice([8, 16, 32, 64, 200])), [[]], {"": None}, "0" * 64, "f" * 64]
    return random.choice(pool)


def leaves(value: Any, where: Place = ()) -> list[Place]:
    """The places of all values in JSON, inner ones included, the whole one not."""
    found: list[Place] = [where] if where else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        found += leaves(each, (*where, key))
    return found


def at(value: Any, where: Place) -> Any:
    """What lies at a place."""
    for key in where:
        value = value[key]
    return value


def with_leaf(record: Any, where: Place, value: Any) -> Any:
    """A copy with another value at a place."""
    changed = copy.deepcopy(record)
    at(changed, where[:-1])[where[-1]] = value
    return changed


def without(record: Any, where: Place) -> Any:
    """A copy without what lies at a place."""
    changed = copy.deepcopy(record)
    del at(changed, where[:-1])[where[-1]]
    return changed

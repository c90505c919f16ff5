"""What an export takes of the host, by target and preset: needs.toml, which benchmarks/export_needs.py writes."""

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = "needs.toml"


class Need(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Peaks of one export in bytes.

    memory: resident, of all its processes together. disk: files beside and in its output. temporary: files in the
    folder for temporary files. measured: whether they were; else they are estimated.
    """

    memory: int
    disk: int
    temporary: int
    measured: bool


def read_needs(path: Path) -> Mapping[str, Mapping[str, Need]]:
    """Needs by target and preset, from a file."""
    return msgspec.convert(tomllib.loads(path.read_text()), dict[str, dict[str, Need]])


@functools.cache
def known_needs() -> Mapping[str, Mapping[str, Need]]:
    """The committed needs by target and preset."""
    return read_needs(Path(str(resources.files("lira_runtime") / "data" / FILE)))


def known_need(target: str, config: str) -> Need | None:
    """The committed need of an export; None where there is none."""
    return known_needs().get(target, {}).get(config)


def known_presets() -> list[str]:
    """Every preset that a need is known of."""
    return list(dict.fromkeys(config for presets in known_needs().values() for config in presets))

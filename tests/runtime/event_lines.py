"""What a command printed with --json, each line held against the kinds of events that there are."""

import functools
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from lira_runtime import events

Record = dict[str, Any]


@functools.cache
def _kinds() -> dict[tuple[str, str | None], type[events.Event]]:
    """By `event`, and of results by `command`."""
    from lira_export.schema import kinds

    return _by_name(kinds())


def _kind(event: str, command: str | None) -> type[events.Event]:
    """torch is imported with the kinds of all commands; what needs none of them does without."""
    known = _by_name(_below(events.Event))
    return known[event, command] if (event, command) in known else _kinds()[event, command]


def _below(kind: type[events.Event]) -> Iterator[type[events.Event]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _by_name(kinds: Iterable[type[events.Event]]) -> dict[tuple[str, str | None], type[events.Event]]:
    return {(_tag(kind), _command(kind)): kind for kind in kinds if kind is not events.Result}


def _tag(kind: type[events.Event]) -> str:
    return str(kind.__struct_config__.tag)


def _command(kind: type[events.Event]) -> str | None:
    if not issubclass(kind, events.Result):
        return None
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    return str(defaults["command"])


def read_events(stdout: str) -> list[Record]:
    """The objects of all lines; AssertionError where one is of no kind, or the last is neither result nor error."""
    found = []
    for line in stdout.splitlines():
        record = json.loads(line)
        command = record["command"] if record["event"] == "result" else None
        kind = _kind(record["event"], command)
        msgspec.json.decode(line, type=kind)  # raises for a field that is missing, unknown or of another type
        found.append(record)
    assert found and found[-1]["event"] in ("result", "error", "version"), stdout
    return found


def named(found: list[Record], *names: str) -> list[Record]:
    """Those that are called so."""
    return [record for record in found if record["event"] in names]

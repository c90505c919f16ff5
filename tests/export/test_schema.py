"""docs/events.schema.json: what the types say, and enough to tell every line of `--json` from every other."""

import json
from pathlib import Path

from event_lines import read_events

from lira_export.schema import RESULTS, json_schema, kinds
from lira_runtime import events

SCHEMA = Path(__file__).parents[2] / "docs" / "events.schema.json"


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_bytes() == json_schema(), "make schema"


def test_no_two_kinds_of_lines_can_be_taken_for_each_other() -> None:
    definitions = json.loads(SCHEMA.read_text())["$defs"]
    marks = []
    for kind in kinds():
        properties = definitions[kind.__name__]["properties"]
        assert "event" in definitions[kind.__name__]["required"]
        assert definitions[kind.__name__]["additionalProperties"] is False
        command = properties["command"]["enum"][0] if kind in RESULTS else None
        assert (command is None) or "command" in definitions[kind.__name__]["required"]
        marks.append((properties["event"]["enum"][0], command))
    assert len(set(marks)) == len(marks)


def test_every_kind_of_event_of_the_package_is_in_it() -> None:
    def below(kind: type[events.Event]) -> set[type[events.Event]]:
        return {kind} | {each for child in kind.__subclasses__() for each in below(child)}

    assert below(events.Event) - {events.Event, events.Result} == set(kinds())


def test_a_line_of_another_kind_is_found_by_these_tests() -> None:
    good = '{"event":"error","code":"usage","exit_code":2,"message":"no"}'
    assert read_events(good)[0]["code"] == "usage"
    for bad in (
        good.replace("usage", "no_such_code"),
        good.replace('"exit_code":2', '"exit_code":"2"'),
        good.replace("}", ',"more":1}'),
        '{"event":"note","text":"a","level":"info"}',
    ):
        try:
            read_events(bad)
        except Exception:
            continue
        raise AssertionError(bad)

"""The JSON schema of what commands say with --json: `python -m lira_export.schema`, docs/events.schema.json."""

from collections.abc import Iterator
from typing import Any

import msgspec

from lira.data.encode import Encoded
from lira.evaluation.results import Evaluated, Judged
from lira.training.cli import Trained
from lira_export.compare.figures import Compared
from lira_export.events import Exported
from lira_export.memory.budgets import Budgeted
from lira_runtime import events
from lira_runtime.cli import Generated
from lira_runtime.doctor.cli import Examined
from lira_runtime.memory.profile_cli import Profiled
from lira_runtime.trust.cli import Verified
from lira_runtime.trust.sign_cli import Signed

RESULTS: tuple[type[events.Result], ...] = (
    Generated,
    Profiled,
    Verified,
    Signed,
    Examined,
    Exported,
    Compared,
    Trained,
    Encoded,
    Evaluated,
    Judged,
    Budgeted,
    events.Measured,
)
"""What `result` may be, by its `command`."""


def kinds() -> Iterator[type[events.Event]]:
    """Every kind of line."""
    yield from (kind for kind in events.Event.__subclasses__() if kind is not events.Result)
    yield from RESULTS


def json_schema() -> bytes:
    """The schema (2020-12) of one line, indented, ending in a newline."""
    found, definitions = msgspec.json.schema_components(kinds(), ref_template="#/$defs/{name}")
    for kind in RESULTS:  # else a reader could not tell one result from another
        definitions[kind.__name__]["required"] = [*definitions[kind.__name__].get("required", []), "command"]
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of `--json`",
        "anyOf": list(found),
        "$defs": definitions,
    }
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


if __name__ == "__main__":
    print(json_schema().decode(), end="")

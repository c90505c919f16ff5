"""What an export may put a bundle in the place of: a bundle, and nothing that is no part of one."""

import json
from collections.abc import Iterator
from pathlib import Path

from lira_runtime.errors import BadInput
from lira_runtime.files import MANIFEST_NAME, SIGNATURE_NAME, check_replaceable_directory


def check_replaceable(goal: Path, overwrite: bool) -> None:
    """Raise BadInput where `goal` is there and is no bundle, is not to be overwritten, or holds files of others too."""
    check_replaceable_directory(goal, overwrite)
    if not (goal / MANIFEST_NAME).is_file():
        return
    named = {MANIFEST_NAME, SIGNATURE_NAME, *_named(goal)}
    for path in sorted(goal.rglob("*")):
        name = path.relative_to(goal).as_posix()
        if name not in named and (path.is_symlink() or not path.is_dir()):
            raise BadInput(f"{goal} holds {name}, which is no part of the bundle there; move it away first.")


def _named(goal: Path) -> list[str]:
    """The files that a manifest of any version names."""
    try:
        record = json.loads((goal / MANIFEST_NAME).read_bytes())
        if isinstance(record, dict) and {"format_version", "components"} <= record.keys():
            return list(_paths(record))
    except (ValueError, RecursionError):
        pass
    raise BadInput(f"{goal} holds a {MANIFEST_NAME} that is no bundle's; choose another place.")


def _paths(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        path = value.get("path")
        yield from (path,) if isinstance(path, str) else ()
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _paths(each)

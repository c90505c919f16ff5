"""What an export may put a bundle in the place of: a bundle, and nothing that is no part of one."""

import json
from collections.abc import Iterator
from pathlib import Path

from lira_runtime.errors import BadInput
from lira_runtime.files import MANIFEST_NAME, SIGNATURE_NAME, check_replaceable_directory, check_unicode_name


def check_replaceable(goal: Path, overwrite: bool) -> None:
    """Raise BadInput where `goal` is there and is no bundle, is not to be overwritten, or holds files of others too.

    The same where it lies in another bundle: what a bundle holds is what its manifest names.
    """
    for folder in goal.parents:
        if _record(folder) is not None:
            raise BadInput(f"{goal} lies in the bundle {folder}; choose a place outside of it.")
    check_unicode_name(goal)
    check_replaceable_directory(goal, overwrite)
    if not (goal / MANIFEST_NAME).is_file():
        return
    record = _record(goal)
    if record is None:
        raise BadInput(f"{goal} holds a {MANIFEST_NAME} that is no bundle's; choose another place.", "exists")
    named = {MANIFEST_NAME, SIGNATURE_NAME, *_paths(record)}
    for path in sorted(goal.rglob("*")):
        name = path.relative_to(goal).as_posix()
        if name not in named and (path.is_symlink() or not path.is_dir()):
            sentence = f"{goal} holds {name}, which is no part of the bundle there; move it away first."
            raise BadInput(sentence, "exists")


def _record(folder: Path) -> dict[str, object] | None:
    """The manifest, of any version, of the bundle in a folder; None where there is none."""
    try:
        record = json.loads((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and {"format_version", "components"} <= record.keys() else None


def _paths(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        path = value.get("path")
        yield from (path,) if isinstance(path, str) else ()
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _paths(each)

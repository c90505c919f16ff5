"""What an export that was stopped leaves, and whether the next one makes it good."""

import hashlib
import json
import re
from pathlib import Path

from PIL import Image

from campaign.bundles import MANIFEST, entries, right_manifest
from campaign.exports import COMPONENTS, NEW, SECONDS, Rig
from campaign.sandbox import Ended, Yard, run

NAMES = re.compile(
    r"bundle|bundle-drift\.png|\.lira-bundle\.(kept|lock|\w+\.(part|old))|\.lira-bundle-drift\.png\.\w+\.part|filler"
)
"""What docs/export.md says may lie beside an output after a kill."""
KEY = re.compile("[0-9a-f]{64}")


class Wrong(Exception):
    """Something is not as it should be; the message says what."""


def state(rig: Rig, yard: Yard) -> str:
    """Which of the two bundles lies there, whole. Raises Wrong for anything else."""
    bundle = yard.out / "bundle"
    record = right_manifest(bundle) if (bundle / MANIFEST).is_file() else None
    if record is None:
        aside = list(yard.out.glob(".lira-bundle.*.old"))
        raise Wrong(f"there is no whole bundle; aside: {aside}")
    for name, reference in rig.bundles.items():
        wanted = json.loads((reference / MANIFEST).read_bytes())
        if record["source"] == wanted["source"]:
            if _weights(record) != _weights(wanted):
                raise Wrong("the bundle is mixed of two")
            return name
    raise Wrong("the bundle is neither the old nor the new one")


def check_left(yard: Yard) -> None:
    """Raise Wrong where something lies there that the documents do not know, or a plot that is none."""
    left = {path.name for path in yard.out.iterdir()}
    if strays := sorted(name for name in left if not NAMES.fullmatch(name)):
        raise Wrong(f"it left {', '.join(strays)}")
    _check_plot(yard)


def check_next(rig: Rig, yard: Yard) -> None:
    """Export once more. Raises Wrong where that fails, or makes anew what was finished, or leaves anything else."""
    finished = set(COMPONENTS) if state(rig, yard) == NEW else _finished(yard)
    ended = run(rig.export(yard, "--overwrite", "--json"), yard, SECONDS)
    if ended.fault() or ended.code:
        raise Wrong(f"the next export: {ended.fault() or ended.err[-300:]}")
    if taken(ended) != {name: name in finished for name in COMPONENTS}:
        raise Wrong(f"{sorted(finished)} were finished, but the next export took {taken(ended)}")
    if state(rig, yard) != NEW:
        raise Wrong("the next export did not replace the bundle")
    left = sorted(path.name for path in yard.out.iterdir())
    if left != ["bundle", "bundle-drift.png"]:
        raise Wrong(f"the next export left {left}")
    _check_plot(yard)


def taken(ended: Ended) -> dict[str, bool]:
    """The components of an export by its events, and whether each was there before."""
    return dict(events(ended.out))


def events(said: str) -> list[tuple[str, bool]]:
    """The same, of what it said on stdout; a killed one may end within a line."""
    lines = [line for line in said.splitlines() if line.startswith("{") and line.endswith("}")]
    records = [json.loads(line) for line in lines]
    return [(each["name"], each["reused"]) for each in records if each["event"] == "component"]


def _finished(yard: Yard) -> set[str]:
    """The components that are kept beside the output, by our own reading of their records."""
    found = set()
    folder = yard.out / ".lira-bundle.kept"
    for kept in folder.iterdir() if folder.is_dir() else ():
        if KEY.fullmatch(kept.name):
            record = json.loads((kept / "record.json").read_bytes())
            if "name" in record:
                _check_kept(kept, record)
                found.add(record["name"])
    return found


def _check_kept(kept: Path, record: dict[str, object]) -> None:
    for entry in entries(record["files"]):
        if hashlib.sha256((kept / entry["path"]).read_bytes()).hexdigest() != entry["sha256"]:
            raise Wrong(f"half of {record['name']} is kept")


def _check_plot(yard: Yard) -> None:
    try:
        with Image.open(yard.out / "bundle-drift.png") as image:
            image.load()
    except Exception as error:
        raise Wrong(f"the plot is none: {error}") from error


def _weights(record: dict[str, object]) -> dict[str, str]:
    return {entry["path"]: entry["sha256"] for entry in entries(record) if ".onnx" in entry["path"]}

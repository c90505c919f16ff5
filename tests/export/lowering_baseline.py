"""Ops by kind in bundles' files, as the committed baseline has them: `lowering_baseline.py BUNDLE...` prints JSON.

`make baseline` writes tests/export/lowering.json with it.
"""

import json
import sys
from pathlib import Path

from lira_runtime import manifest

Counts = dict[str, dict[str, dict[str, int]]]
"""Target -> component -> kind of op -> count."""


def counts(bundles: list[Path]) -> Counts:
    """Read from the bundles' manifests, which were counted in the files."""
    read = [manifest.load(bundle) for bundle in bundles]
    return {each.target: {part.name: part.contents.ops for part in each.components} for each in read}


def moved(before: Counts, after: Counts) -> list[str]:
    """One line for each count that differs."""
    keys = {
        (target, part, kind)
        for table in (before, after)
        for target, parts in table.items()
        for part, kinds in parts.items()
        for kind in kinds
    }
    lines = []
    for target, part, kind in sorted(keys):
        old, new = (table.get(target, {}).get(part, {}).get(kind, 0) for table in (before, after))
        if old != new:
            lines.append(f"{target} {part} {kind}: {old} -> {new}")
    return lines


if __name__ == "__main__":
    print(json.dumps(counts([Path(path) for path in sys.argv[1:]]), indent=1))

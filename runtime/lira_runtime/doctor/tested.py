"""The versions that the tests ran with: tested.txt, in the form of pip's constraints.

`python -m lira_runtime.doctor.tested` prints it anew from the environment that it runs in, with every extra installed.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lira_runtime.commands import DISTRIBUTION

FILE = "tested.txt"
APART = ("campaign",)
"""Extras that the tests do without: they come on top for one purpose of the project's own."""
_HEAD = "# Python {python}: what the tests ran with; `make tested` writes this file."
_PYTHON = re.compile(r"# Python (\d+\.\d+)")


@dataclass(frozen=True)
class Tested:
    """python: "3.11". packages: version by normalised name. path: the file, which pip takes as constraints."""

    python: str
    packages: Mapping[str, str]
    path: Path

    def pinned(self, name: str) -> str:
        """What to ask pip for."""
        return f"{name}=={self.packages[name]}"


def read_tested() -> Tested:
    """The committed matrix."""
    path = Path(str(resources.files("lira_runtime") / "data" / FILE))
    head, *lines = path.read_text().splitlines()
    found = _PYTHON.match(head)
    assert found is not None, "written by `make tested`"
    return Tested(found[1], dict(line.split("==") for line in lines if line), path)


def requirements(extra: str = "") -> list[Requirement]:
    """What this project asks for: of its base, or of one extra."""
    return list(_requirements(DISTRIBUTION, extra, only=bool(extra)))


def extras() -> list[str]:
    """Names of this project's extras that somebody who uses it may want."""
    return [name for name in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or [] if name not in APART]


def _requirements(name: str, extra: str, only: bool = False) -> Iterator[Requirement]:
    """Of an installed distribution, here; only: what the extra adds. Nothing where it is not installed."""
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        requirement = Requirement(line)
        marker = requirement.marker
        base = marker is None or marker.evaluate({"extra": ""})
        if (base and not only) or (not base and marker is not None and marker.evaluate({"extra": extra})):
            yield requirement


def installed() -> dict[str, str]:
    """Versions of all that this project and its extras bring, directly or not, by normalised name."""
    found: dict[str, str] = {}
    waiting = [(DISTRIBUTION, extra) for extra in ("", *extras())]
    seen = set(waiting)
    while waiting:
        for requirement in _requirements(*waiting.pop()):
            name = canonicalize_name(requirement.name)
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
            new = {(name, extra) for extra in ("", *requirement.extras)} - seen
            seen |= new
            waiting += new
    return found


def main() -> None:
    """Print the file."""
    print(_HEAD.format(python=f"{sys.version_info.major}.{sys.version_info.minor}"))
    for name, version in sorted(installed().items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()

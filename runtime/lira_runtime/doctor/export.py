"""The export that the doctor is asked about."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lira_runtime.doctor.needs import Need, known_need

ALL = "all"


@dataclass(frozen=True)
class Export:
    """target: as it was named, and the `targets` that it stands for. out: the folder of the bundle, or of all three."""

    target: str
    targets: Sequence[str]
    config: str
    out: Path
    need: Need

    def command(self, out: Path | None = None, *options: str) -> str:
        """To paste: this export, elsewhere or otherwise."""
        words = ["lira-export", "--target", self.target, "--config", self.config, "--out", str(out or self.out)]
        return shlex.join([*words, *options])

    def needs(self, amount: int) -> str:
        """A phrase for bytes of what it needs."""
        how = "measured" if self.need.measured else "estimated"
        return f"{self.target} {self.config} needs {gigabytes(amount)} ({how})"


def usual_place(target: str, config: str) -> Path:
    """Where that export writes if nobody says otherwise."""
    return Path("build") if target == ALL else Path("build") / f"{config}-{target}"


def need_of(targets: Sequence[str], config: str) -> Need | None:
    """Of one export, or of several in one command, one after the other; None where nothing is known."""
    needs = [known_need(target, config) for target in targets]
    known = [need for need in needs if need is not None]
    if not known or len(known) < len(needs):
        return None
    return Need(
        memory=max(need.memory for need in known),
        disk=sum(need.disk for need in known),
        temporary=max(need.temporary for need in known),
        measured=len(known) == 1 and known[0].measured,
    )


def gigabytes(amount: int) -> str:
    """Bytes for people."""
    return f"{amount / 1e9:.1f} GB"

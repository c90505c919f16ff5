"""What the doctor says of one thing that it looked at."""

import shlex
import sys
from typing import Literal

from msgspec import Struct

CheckName = Literal["python", "package", "extra", "processor", "memory", "disk", "output", "cache"]
Level = Literal["ok", "notice", "problem"]


class Finding(Struct, frozen=True, kw_only=True):
    """check: its kind. said: a phrase. mend: a command to paste into a shell; none where all is well.

    level: a problem stands in the way of what was asked; a notice is worth knowing.
    """

    check: CheckName
    level: Level = "ok"
    said: str
    mend: str | None = None

    def lines(self) -> list[str]:
        """For people."""
        return [f"{self.level:<8} {self.check:<10} {self.said}", *([f"{'':19} mend: {self.mend}"] if self.mend else [])]


def pip_install(packages: list[str], constraints: str) -> str:
    """The command that installs packages into the environment of this process."""
    return shlex.join([sys.executable, "-m", "pip", "install", *packages, "-c", constraints])

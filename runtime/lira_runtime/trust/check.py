"""One thing that was looked at in a bundle, and what came of it. Names and codes are stable: programs read them."""

from typing import Literal

from msgspec import Struct

from lira_runtime.codes import Code
from lira_runtime.say import printable

CheckName = Literal["manifest", "signature", "file", "extra", "tensors", "contents", "golden", "parity"]
Status = Literal["ok", "failed", "not_checked"]


class Check(Struct, frozen=True):
    """check: its kind. subject: the file, graph or component. said: a sentence unless it is ok.

    code: why it failed, or was not made. digest: of a manifest that is right, SHA-256 of the bytes that were read.
    """

    check: CheckName
    subject: str
    status: Status = "ok"
    code: Code | None = None
    said: str = ""
    digest: str | None = None

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return self.status == "failed"

    def line(self) -> str:
        """The check in one line."""
        status = {"ok": "ok", "failed": "FAILED", "not_checked": "not checked here"}[self.status]
        said = f": {self.said}" if self.said else ""
        return printable(f"{status:<16}  {self.check:<9}  {self.subject}{said}")

"""Amounts of memory as people write them: "1GB", "350MB", "350MiB"."""

import re

from lira_runtime.errors import BadInput

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BY_LOWER = {name.lower(): factor for name, factor in _UNITS.items()}
_AMOUNT = re.compile(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)


def parse_bytes(text: str) -> int:
    """Return the bytes that `text` says, a number above 0 and a unit; raises BadInput.

    kB, MB and GB are powers of 1000, KiB, MiB and GiB of 1024; upper and lower case are the same.
    """
    match = _AMOUNT.fullmatch(text)
    factor = _BY_LOWER.get(match[2].lower()) if match else None
    amount = round(float(match[1]) * factor) if match and factor else 0
    if amount < 1:
        raise BadInput(
            f"'{text}' is no amount of memory; write a number and one of {', '.join(_UNITS)}, 350MB or 1GB say."
        )
    return amount


def megabytes(amount: float) -> str:
    """Return bytes as text in MB of 1,000,000 bytes, the one unit of every report: "312 MB", "4.2 MB"."""
    return f"{amount / 1e6:.{0 if amount >= 1e7 else 1}f} MB"

"""Lines for people. What they say may come from anywhere: a file's name, a bundle, somebody's checkpoint.

Nothing but the standard library is imported here.
"""

import sys
from collections.abc import Sequence

MOST_CHARACTERS = 1200
"""Of a line, which may name two paths; of a longer one the middle is left out."""
_CUT = " ... "


def printable(text: str) -> str:
    """A line of it: `escaped`, and without its middle where it is long."""
    half = (MOST_CHARACTERS - len(_CUT)) // 2
    # Nothing of what is cut is escaped: a text of gigabytes costs as little as one that is a little too long.
    ends = [text] if len(text) <= MOST_CHARACTERS else [text[:half], text[-half:]]
    line = _CUT.join(map(escaped, ends))
    return line if len(line) <= MOST_CHARACTERS else f"{line[:half]}{_CUT}{line[-half:]}"


def say(lines: str | Sequence[str], err: bool = False) -> None:
    """Print lines, each `printable`: results on stdout, with `err` words on stderr."""
    given = [lines] if isinstance(lines, str) else lines
    print("\n".join(map(printable, given)), file=sys.stderr if err else sys.stdout, flush=True)


def escaped(text: str) -> str:
    """The whole text with control characters, marks of direction and what is no Unicode escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)

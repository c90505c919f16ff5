"""One export of an output at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lira_runtime.errors import BadInput
from lira_runtime.files import remove_leftovers


@contextmanager
def locked(out: Path, plot: Path | None = None) -> Iterator[None]:
    """Hold the lock of an output, `.lira-<name>.lock` beside it, and clear away what killed exports left of it.

    plot: a file that they write with it, of which they may have left something too.

    The system lets go of the lock when its process ends, however it ends; the file alone locks nothing. Raises
    BadInput, without waiting, where another export holds it.
    """
    out = Path(os.path.abspath(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".lira-{out.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise BadInput(
            f"another export is writing {out}; wait for its end, or choose another place.", "in_use"
        ) from error
    try:
        for goal in (out, plot):
            if goal is not None:
                remove_leftovers(goal)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: filelock looks whether the file that it locked is still there
        lock.release()

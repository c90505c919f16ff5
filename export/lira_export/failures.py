"""What a converter of another project throws: one sentence for the user, its traceback in a file."""

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lira_runtime.errors import BadInput, LiRAError


@contextmanager
def converter_log(what: str) -> Iterator[None]:
    """Turn any surprise of a third-party converter, while it works on `what`, into BadInput that names the log file.

    What the user or the machine is the cause of passes as it is: LiRAError, OSError, MemoryError.
    """
    try:
        yield
    except (LiRAError, OSError, MemoryError):
        raise
    except Exception as error:
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"lira-{what}-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            traceback.print_exc(file=log)
        raise BadInput(
            f"{what} could not be converted ({type(error).__name__}); the traceback is in {log.name}.",
            "not_converted",
        ) from error

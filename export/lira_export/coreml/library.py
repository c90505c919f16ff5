"""coremltools, and a way to keep its chatter off the user's terminal."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import coremltools as ct
from coremltools.models import MLModel

__all__ = ["MLModel", "ct", "quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow progress bars and warnings; exceptions pass."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield

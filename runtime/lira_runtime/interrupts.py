"""Ctrl-C and SIGTERM as KeyboardInterrupt, but not in the middle of an import.

A library that is interrupted while it initialises may crash, or swallow the interrupt. One that comes then is tried
again a moment later, until no import is under way. Nothing but the standard library is imported here.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 0.05
_IMPORTER = "<frozen importlib._bootstrap>"
_STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def gentle_interrupts() -> Iterator[None]:
    """Have them raised like that within; does nothing outside of the main thread, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in _STOPS if signal.getsignal(number) != signal.SIG_IGN}
    alarm = signal.signal(signal.SIGALRM, _stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in {**before, signal.SIGALRM: alarm}.items():
            signal.signal(number, handler)


def deliver() -> None:
    """Raise KeyboardInterrupt now where one waits for an import's end."""
    if signal.setitimer(signal.ITIMER_REAL, 0)[0]:
        raise KeyboardInterrupt


def _stop(number: int, frame: FrameType | None) -> None:
    if _is_importing(frame):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        return
    raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTER:
            return True
        frame = frame.f_back
    return False

"""Resident memory of this process: the peak of a stage, and giving memory back after it.

On Linux the kernel's own high-water mark is used: writing 5 to /proc/self/clear_refs resets it, so VmHWM is the exact
peak since then. Where that file is not writable a thread samples the resident size; elsewhere ru_maxrss, which can
only grow, stands for the whole process so far. `PeakMeter.source` says which of the three a figure is.
"""

import ctypes
import gc
import os
import resource
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from lira_runtime.memory.reading import status_bytes

Source = Literal["VmHWM", "sampled", "ru_maxrss"]

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_SAMPLE_SECONDS = 0.005
_mark_is_kept = False


class PeakMeter:
    """Context manager: after it, `seconds`, `peak_bytes` (resident, whole process) and `source` are set.

    Meters must not be nested: each one resets the kernel's mark.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_bytes = 0
        self.source: Source = "ru_maxrss"
        self._start = 0.0
        self._sampler: _Sampler | None = None

    def __enter__(self) -> Self:
        self._start = time.monotonic()
        if _mark_is_kept or not _STATUS.exists():
            self.source = "ru_maxrss"
        elif reset_mark():
            self.source = "VmHWM"
        else:
            self.source = "sampled"
            self._sampler = _Sampler()
            self._sampler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._start
        self.peak_bytes = self._sampler.stop() if self._sampler is not None else process_peak_bytes()


class _Sampler(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True, name="resident-memory-sampler")
        self._done = threading.Event()
        self._peak = resident_bytes()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._peak = max(self._peak, resident_bytes())

    def stop(self) -> int:
        self._done.set()
        self.join()
        return max(self._peak, resident_bytes())


def resident_bytes() -> int:
    """Return the resident size now in bytes; where /proc is missing, the peak so far."""
    return _status_bytes("VmRSS") if _STATUS.exists() else process_peak_bytes()


def process_peak_bytes() -> int:
    """Return the peak resident size in bytes since the last reset (Linux) or since the process started."""
    if _STATUS.exists():
        return _status_bytes("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others KiB


def reset_mark() -> bool:
    """Set the kernel's high-water mark of this process to what is resident now; False where that is not possible."""
    try:
        with open(_CLEAR_REFS, "w", opener=lambda path, flags: os.open(path, os.O_WRONLY)) as file:
            file.write("5")
    except OSError:
        return False
    return True


def keep_mark() -> None:
    """Leave the kernel's mark alone from now on: meters then report the peak of the whole process so far."""
    global _mark_is_kept
    _mark_is_kept = True


def release() -> None:
    """Give freed memory back to the system: collect cycles, and on glibc trim the heap, which keeps freed pages."""
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _status_bytes(field: str) -> int:
    return status_bytes(_STATUS.read_text())[field]

"""Weights that pass through memory: pages of a mapped file are given back while a graph loads and runs.

A page that is needed again comes from the system's cache of the file, or from the disk where that was needed for
something else. So a process holds the weights of the layers that run now and a little more, at the price of a page
fault for 64 KiB of weights and pass. Linux and Android only.
"""

import contextlib
import ctypes
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lira_runtime.backends.limits import check_streaming

SECONDS = 0.005
"""Between two rounds. Small's denoiser reads 145 MB in 300 ms: 3 MB come back in a round, which takes 0.3 ms."""
LEAST_BYTES = 1 << 16
"""Of a mapping that is worth a call."""
_SMAPS = Path("/proc/self/smaps")
Range = tuple[int, int]
READ, WRITE = 1, 2  # PROT_READ, PROT_WRITE
PAGE_OUT = 21  # MADV_PAGEOUT, Linux 5.4


class Streaming:
    """Gives back the pages of `file` that the process has mapped. Raises BadInput on a system that cannot do it.

    While a graph loads, the library maps and unmaps: pages are paged out, which loses nothing whatever lies there
    meanwhile, but drops them from the system's cache of the file too. When it is loaded the mappings stay, are made
    read-only, and those that nobody has written to are let go of, which is cheap.
    """

    def __init__(self, file: Path) -> None:
        check_streaming()
        self._file = os.path.realpath(file)
        self._clean: list[Range] = []

    @contextlib.contextmanager
    def while_loading(self) -> Iterator[None]:
        """Within it a graph is loaded that maps the file."""
        with _rounds(self._page_out):
            yield
        self._clean = self._made_read_only()
        self._let_go()
        _let_go_of_code()

    @contextlib.contextmanager
    def while_running(self) -> Iterator[None]:
        """Within it the loaded graph runs."""
        with _rounds(self._let_go):
            yield
        self._let_go()

    def _page_out(self) -> None:
        for start, end in _mappings(self._file):
            _libc.madvise(start, end - start, PAGE_OUT)  # refused by a kernel before 5.4, or where it is mapped no more

    def _let_go(self) -> None:
        for start, end in self._clean:
            _check(_libc.madvise(start, end - start, mmap.MADV_DONTNEED))

    def _made_read_only(self) -> list[Range]:
        """The mappings without a page of their own, now that nobody can write to them; the others are left as found."""
        found = _mappings(self._file)
        for start, end in found:
            _check(_libc.mprotect(start, end - start, READ))
        written = {each for each, anonymous in found.items() if anonymous} | {
            each for each, anonymous in _mappings(self._file).items() if anonymous
        }
        for start, end in written:
            _check(_libc.mprotect(start, end - start, READ | WRITE))
        return [each for each in found if each not in written]


@contextlib.contextmanager
def _rounds(work: Callable[[], None]) -> Iterator[None]:
    """Call `work` again and again in a thread."""
    done = threading.Event()

    def rounds() -> None:
        while not done.wait(SECONDS):
            work()

    thread = threading.Thread(target=rounds, daemon=True, name="weights-streaming")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _let_go_of_code() -> None:
    """Give back the clean pages of libraries; those that are still needed come back."""
    for each in _all_mappings():
        if each.name.startswith("/") and not each.writable and not each.anonymous:
            _libc.madvise(each.start, each.end - each.start, mmap.MADV_DONTNEED)


def _mappings(file: str) -> dict[Range, int]:
    """Every mapping of `file` that is worth a call: where it is -> bytes of it that are the process's own pages."""
    return {
        (each.start, each.end): each.anonymous
        for each in _all_mappings()
        if each.name == file and each.end - each.start >= LEAST_BYTES
    }


class _Mapping(NamedTuple):
    """A stretch of this process's memory: the name of its file, or what the kernel calls it; own pages in bytes."""

    start: int
    end: int
    writable: bool
    name: str
    anonymous: int


def _all_mappings() -> Iterator[_Mapping]:
    head: list[str] = []
    for line in _SMAPS.read_text().splitlines():
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):
            head = line.split(maxsplit=5)
        elif first == "Anonymous:":
            start, end = (int(part, 16) for part in head[0].split("-"))
            name = head[5] if len(head) > 5 else ""
            yield _Mapping(start, end, "w" in head[1], name, 1024 * int(rest.split()[0]))


def _check(status: int) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    for call in (library.madvise, library.mprotect) if sys.platform == "linux" else ():
        call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return library


_libc = _library()

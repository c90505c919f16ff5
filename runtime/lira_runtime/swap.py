"""A finished directory takes the place of another in one step, where the system has such a step."""

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ASIDE_SUFFIX, ASIDE_NAME = ".old", "bundle"
_HERE = -100
"""AT_FDCWD of Linux: paths are those of the process."""
_EXCHANGE, _SWAP = 2, 2
"""RENAME_EXCHANGE of Linux's renameat2, RENAME_SWAP of macOS's renamex_np."""
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def swap_in(part: Path, goal: Path, aside_prefix: str) -> None:
    """Rename the directory `part` to `goal`; what was there before is removed, or lies in `part` for the caller to.

    At every moment the goal is the whole old directory or the whole new one. Where neither the system nor the file
    system exchanges two names, there is a moment without either, in which the old one lies in a directory beside it,
    named `aside_prefix` and `ASIDE_SUFFIX`, from where `bring_back` takes it.
    """
    if not goal.exists():
        os.rename(part, goal)
    elif not exchange(part, goal):
        _step_aside(part, goal, aside_prefix)
    fsync(goal.parent)


def bring_back(aside: Path, goal: Path) -> None:
    """Undo a swap by way of `aside` that was killed half-way, and remove `aside`."""
    if not goal.exists() and (aside / ASIDE_NAME).is_dir():
        os.rename(aside / ASIDE_NAME, goal)
        fsync(goal.parent)
    shutil.rmtree(aside, ignore_errors=True)


def exchange(a: Path, b: Path) -> bool:
    """Exchange what two names stand for, in one step; False, with nothing done, where that cannot be done here.

    Raises OSError where it can, but not with these two.
    """
    call = _exchanging_rename()
    if call is None:
        return False
    if call(os.fsencode(a), os.fsencode(b)) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(b))


def _exchanging_rename() -> Callable[[bytes, bytes], int] | None:
    """Of the C library; None where it has none."""
    name = {"linux": "renameat2", "darwin": "renamex_np"}.get(sys.platform)
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if function is None:
        return None
    if name == "renamex_np":
        function.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint)
        return lambda a, b: function(a, b, _SWAP)
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return lambda a, b: function(_HERE, a, _HERE, b, _EXCHANGE)


def _step_aside(part: Path, goal: Path, prefix: str) -> None:
    """rename(2) cannot replace a directory that has files, so the old one leaves first."""
    aside = Path(tempfile.mkdtemp(prefix=prefix, suffix=ASIDE_SUFFIX, dir=goal.parent))
    os.rename(goal, aside / ASIDE_NAME)
    try:
        os.rename(part, goal)
    except BaseException:
        os.rename(aside / ASIDE_NAME, goal)
        aside.rmdir()
        raise
    fsync(goal.parent)
    shutil.rmtree(aside, ignore_errors=True)


def fsync(path: Path) -> None:
    """Have a file or a folder's list of names on the disk before this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

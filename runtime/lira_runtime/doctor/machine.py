"""What this machine has: free memory, room on disks, instructions of its processor. Linux says all, others less."""

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lira_runtime.errors import BadInput
from lira_runtime.files import check_writable_folder

_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")
_MOUNTS = Path("/proc/mounts")
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
_IN_MEMORY = ("tmpfs", "ramfs", "overlay", "squashfs", "devtmpfs")
"""File systems that are no disk, or another's."""


@dataclass(frozen=True)
class Memory:
    """available: bytes that programs can take now, swap included. limited: by a control group, not by the machine."""

    available: int
    limited: bool


def memory() -> Memory | None:
    """None where the system does not say."""
    if not _MEMINFO.exists():
        return None
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in _MEMINFO.read_text().splitlines()}
    free = sizes["MemAvailable"] + sizes["SwapFree"]
    limits = [left for limit, used in _CGROUPS for left in _left(Path(limit), Path(used))]
    return Memory(min([free, *limits]), bool(limits) and min(limits) < free)


def _left(limit: Path, used: Path) -> Iterator[int]:
    """Bytes below a control group's limit, where there is one."""
    try:
        yield int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):  # "max"
        return


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = Path(os.path.abspath(path))
    return next(place for place in (path, *path.parents) if place.exists())


def free_bytes(path: Path) -> int:
    """Room for this user on the disk of a path that need not exist."""
    return shutil.disk_usage(existing(path)).free


def same_disk(a: Path, b: Path) -> bool:
    """Whether two paths, which need not exist, lie on one file system."""
    return os.stat(existing(a)).st_dev == os.stat(existing(b)).st_dev


def writable_fault(path: Path) -> str | None:
    """Why nothing can be written at a path that need not exist."""
    place = existing(path)
    if not place.is_dir():
        return f"{place} is not a folder."
    try:
        check_writable_folder(place)
    except BadInput as error:
        return str(error)
    return None


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file, as an export does; a file that a killed one left locks nothing."""
    try:
        import fcntl

        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except (ModuleNotFoundError, OSError):  # Windows, and what this user cannot open: as if it were held
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def roomiest(needed: int, usual: Sequence[Path]) -> Path | None:
    """The folder, on whichever disk has most room, in which `needed` bytes can be written; None where none has it.

    usual: folders that are preferred to others on the same disk.
    """
    by_disk: dict[int, Path] = {}
    for place in [*usual, *_disks()]:
        if place.is_dir() and writable_fault(place) is None and not _is_in_memory(place):
            by_disk.setdefault(os.stat(place).st_dev, place)
    rooms = {place: free_bytes(place) for place in by_disk.values()}
    best = max(rooms, key=lambda place: rooms[place], default=None)
    return best if best is not None and rooms[best] >= needed else None


def _disks() -> Iterator[Path]:
    for kind, place in _mounts():
        if kind not in _IN_MEMORY:
            yield place


def _is_in_memory(path: Path) -> bool:
    return any(kind in ("tmpfs", "ramfs") and same_disk(path, place) for kind, place in _mounts() if place.exists())


def _mounts() -> list[tuple[str, Path]]:
    """Kind and place of what is mounted from a device, or from memory."""
    try:
        rows = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return []
    return [(row[2], Path(row[1])) for row in rows if row[0].startswith("/dev/") or row[2] in _IN_MEMORY]


def processor_flags() -> frozenset[str]:
    """Names of instruction sets, as Linux has them; none where it does not say."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    found = (line.split(":", 1)[1] for line in lines if line.split(":")[0].strip() in ("flags", "Features"))
    return frozenset(next(found, "").split())


def is_x86() -> bool:
    """Whether the processor is of that family."""
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")

"""What the machine offers: cores worth a thread each, and whether it runs on its battery."""

import os
from pathlib import Path

MOST_DEFAULT_THREADS = 8
_CPUS = Path("/sys/devices/system/cpu")
_POWER = Path("/sys/class/power_supply")


def default_threads(cpus: Path = _CPUS) -> int:
    """Threads for a session where nobody says: one for each big physical core that this process may use, 1 to 8.

    A second thread on a core shares its vector units, which one thread of matrix products keeps busy. A little core of
    a phone (less than half of the greatest capacity) would hold up the others, since work is split evenly. Past 8
    threads the parts that run on one (layout changes, small operators) outweigh what is left to split.
    """
    big = _big_cores(_allowed_cpus(), cpus)
    return min(len({_core_of(number, cpus) for number in big}), MOST_DEFAULT_THREADS)


def on_battery(power: Path = _POWER) -> bool:
    """Whether a battery of the device itself is discharging; False where the system does not say (not Linux)."""
    return any(
        _text(supply / "type") == "Battery"
        and _text(supply / "status") == "Discharging"
        and _text(supply / "scope") != "Device"  # a mouse has a battery too
        for supply in _children(power)
    )


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _big_cores(numbers: set[int], cpus: Path) -> set[int]:
    capacities = {number: int(_text(cpus / f"cpu{number}" / "cpu_capacity") or 0) for number in numbers}
    greatest = max(capacities.values())
    return {number for number, capacity in capacities.items() if 2 * capacity >= greatest}


def _core_of(number: int, cpus: Path) -> tuple[str, str]:
    """Package and core; a logical processor whose place is unknown counts as a core of its own."""
    topology = cpus / f"cpu{number}" / "topology"
    core = _text(topology / "core_id")
    return (_text(topology / "physical_package_id"), core) if core else ("", f"cpu{number}")


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

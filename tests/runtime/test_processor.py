"""Machines are folders that look like Linux's /sys."""

from pathlib import Path

import pytest

from lira_runtime.backends import processor
from lira_runtime.backends.processor import MOST_DEFAULT_THREADS, default_threads, on_battery

PHONE = [1024, 800, 800, 800, 325, 325, 325, 325]
"""Capacities of one prime, three big and four little cores."""


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def machine(root: Path, cores: list[int], capacities: list[int] | None = None) -> Path:
    """One logical processor for each entry of `cores`, which says the core that it belongs to."""
    for number, core in enumerate(cores):
        write(root / f"cpu{number}" / "topology" / "core_id", core)
        write(root / f"cpu{number}" / "topology" / "physical_package_id", 0)
        if capacities:
            write(root / f"cpu{number}" / "cpu_capacity", capacities[number])
    return root


def allow(monkeypatch: pytest.MonkeyPatch, numbers: set[int]) -> None:
    monkeypatch.setattr(processor.os, "sched_getaffinity", lambda pid: numbers, raising=False)


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 64])
def test_each_physical_core_gets_a_thread_up_to_the_cap(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, set(range(2 * cores)))
    assert default_threads(machine(tmp_path, [*range(cores), *range(cores)])) == min(cores, MOST_DEFAULT_THREADS)


def test_only_the_cores_that_the_process_may_use_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = machine(tmp_path, [0, 0, 1, 1, 2, 2, 3, 3])
    allow(monkeypatch, {0, 1, 4})
    assert default_threads(cpus) == 2


def test_a_phone_gets_its_big_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = machine(tmp_path, list(range(8)), PHONE)
    allow(monkeypatch, set(range(8)))
    assert default_threads(cpus) == 4
    allow(monkeypatch, {5, 6})  # an app in the background: the little ones are all it has
    assert default_threads(cpus) == 2


def test_without_a_word_from_the_system_each_processor_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, {0, 1, 2})
    assert default_threads(tmp_path) == 3
    monkeypatch.delattr(processor.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(processor.os, "cpu_count", lambda: None)
    assert default_threads(tmp_path) == 1


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging"}, True),
        ({"BAT0/type": "Battery", "BAT0/status": "Charging"}, False),
        ({"BAT0/type": "Battery", "BAT0/status": "Full", "AC/type": "Mains", "AC/online": "1"}, False),
        ({"mouse/type": "Battery", "mouse/status": "Discharging", "mouse/scope": "Device"}, False),
        ({"AC/type": "Mains"}, False),
        ({}, False),
    ],
)
def test_a_battery_counts_while_it_feeds_the_device(files: dict[str, str], wanted: bool, tmp_path: Path) -> None:
    for name, text in files.items():
        write(tmp_path / name, text)
    assert on_battery(tmp_path) is wanted
    assert on_battery(tmp_path / "nowhere") is False

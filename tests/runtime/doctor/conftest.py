import shutil
from collections import namedtuple
from collections.abc import Callable

import pytest
from event_lines import Record, named, read_events

from lira_runtime.doctor import machine
from lira_runtime.doctor.cli import main

Doctor = Callable[..., tuple[int, list[Record]]]
Usage = namedtuple("Usage", ("total", "used", "free"))


@pytest.fixture(autouse=True)
def ample(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that lacks nothing, whatever the tests run on; a test takes away what it is about."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "meminfo").write_text("MemTotal: 64000000 kB\nMemAvailable: 60000000 kB\nSwapFree: 0 kB\n")
    (folder / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n")
    monkeypatch.setattr(machine, "_MEMINFO", folder / "meminfo")
    monkeypatch.setattr(machine, "_CPUINFO", folder / "cpuinfo")
    monkeypatch.setattr(machine, "_CGROUPS", ())
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setenv("LIRA_CACHE", str(folder / "cache"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2 * 10**12, 10**12, 10**12))


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Doctor:
    """`lira-doctor --json` -> exit code and findings; what it says of the error is held against them."""

    def run(*words: object) -> tuple[int, list[Record]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*map(str, words), "--json"])
        found = read_events(capsys.readouterr().out)
        findings, (result,) = named(found, "finding"), named(found, "result")
        problems = [each for each in findings if each["level"] == "problem"]
        assert result["problems"] == len(problems) and (found[-1] == result) == (not problems)
        assert all((each["mend"] is None) == (each["level"] == "ok") for each in findings), findings
        return int(stop.value.code or 0), [each for each in findings if each["level"] != "ok"]

    return run

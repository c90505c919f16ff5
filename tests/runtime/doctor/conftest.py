import shutil
from collections import namedtuple
from collections.abc import Callable, Collection

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
    """`lira-doctor --json` -> exit code and findings; what it says of the error is held against them.

    lacking: the checks whose problems no command mends.
    """

    def run(*words: object, lacking: Collection[str] = ()) -> tuple[int, list[Record]]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*map(str, words), "--json"])
        said = capsys.readouterr()
        found = read_events(said.out)
        findings, (result,) = named(found, "finding"), named(found, "result")
        problems = [each for each in findings if each["level"] == "problem"]
        assert result["problems"] == len(problems) and (found[-1] == result) == (not problems)
        without = [each for each in findings if each["mend"] is None]
        assert {each["check"] for each in without if each["level"] != "ok"} == set(lacking), findings
        assert all(each["mend"] is None for each in findings if each["level"] == "ok"), findings
        mended = sum(each["mend"] is not None for each in problems)
        mends = "each has a" if mended == len(problems) else f"{mended} of them have a"
        assert not problems or f"; {mends} command that mends it" in said.err
        return int(stop.value.code or 0), [each for each in findings if each["level"] != "ok"]

    return run

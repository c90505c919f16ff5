from collections.abc import Callable

import pytest
from event_lines import Record, named, read_events

from lira_runtime.doctor.cli import main

Doctor = Callable[..., tuple[int, list[Record]]]


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

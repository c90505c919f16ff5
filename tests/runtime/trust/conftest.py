import hashlib
from collections import Counter
from pathlib import Path

import pytest
from event_lines import named, read_events
from forgery import Checks, Verify

from lira_runtime.trust.cli import main


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """`lira-verify BUNDLE --json` -> exit code, checks and the sentence on stderr."""

    def run(bundle: Path, *flags: str | Path) -> tuple[int, Checks, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(bundle), "--json", *map(str, flags)])
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert len(lines) == bool(stop.value.code) and all(line.startswith("error: ") for line in lines), captured.err
        found = read_events(captured.out)
        checks = [{key: value for key, value in each.items() if key != "event"} for each in named(found, "check")]
        results = named(found, "result")
        assert len(results) == bool(checks)
        for result in results:
            counted = Counter(each["status"] for each in checks)
            assert [result[name] for name in ("passed", "failed", "not_checked")] == [
                counted[status] for status in ("ok", "failed", "not_checked")
            ]
            manifest = bundle / "manifest.json"
            right = checks[0] == {**checks[0], "check": "manifest", "status": "ok"}
            digest = hashlib.sha256(manifest.read_bytes()).hexdigest() if right else None
            assert (result["bundle"], result["digest"]) == (str(bundle), digest)
            assert result["ok"] == (stop.value.code != 5)
        return int(stop.value.code or 0), checks, "".join(lines)

    return run

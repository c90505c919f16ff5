import json
from pathlib import Path

import pytest
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
        result = json.loads(captured.out) if captured.out else {"checks": []}
        assert not captured.out or result["ok"] == (stop.value.code != 5)
        return int(stop.value.code or 0), result["checks"], "".join(lines)

    return run

"""Each measurement runs in a fresh process that imports NumPy and the meter alone, so no other test's memory counts."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lira_runtime.memory import meter as memory

MIB = 1 << 20
RUNTIME = Path(__file__).parents[3] / "runtime"
PRELUDE = """
import json, threading
import numpy as np
from lira_runtime.memory import meter as memory

MIB = 1 << 20
np.ones(MIB, np.uint8)  # what NumPy loads on first use is not the stage's
memory.release()
before = memory.resident_bytes()
"""


def in_fresh_process(script: str) -> dict[str, Any]:
    """Run the prelude and a script, which sets `result`; return that.

    A small shell starts it: until its program begins, the kernel's ru_maxrss counts the pages of whoever starts it.
    """
    run = subprocess.run(
        ["/bin/sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", f"{PRELUDE}{script}\nprint(json.dumps(result))"],
        env={**os.environ, "PYTHONPATH": str(RUNTIME), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def require_linux() -> None:
    if sys.platform != "linux":
        pytest.skip("resident memory can be read and trimmed on Linux alone")


def require_resettable_mark() -> None:
    require_linux()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel's high-water mark cannot be reset here")


SECOND_STAGE_AND_RESULT = """
with memory.PeakMeter() as second:
    pass
result = {"before": before, "first": first.peak_bytes, "second": second.peak_bytes,
          "sources": [first.source, second.source]}
"""


def test_a_stages_peak_holds_what_it_used_and_freed_and_nothing_of_the_stage_before() -> None:
    require_resettable_mark()
    result = in_fresh_process(
        """
with memory.PeakMeter() as first:
    block = np.ones(64 * MIB, np.uint8)
    del block
"""
        + SECOND_STAGE_AND_RESULT
    )
    assert result["sources"] == ["VmHWM", "VmHWM"]
    assert 60 * MIB < result["first"] - result["before"] < 72 * MIB
    assert abs(result["second"] - result["before"]) < 8 * MIB


def test_where_the_mark_cannot_be_reset_a_thread_samples() -> None:
    require_linux()
    result = in_fresh_process(
        """
sampled, read = threading.Event(), memory.resident_bytes
memory.reset_mark = lambda: False

def watched():
    value = read()
    if threading.current_thread() is not threading.main_thread() and value > before + 48 * MIB:
        sampled.set()
    return value

memory.resident_bytes = watched
with memory.PeakMeter() as first:
    block = np.ones(64 * MIB, np.uint8)
    assert sampled.wait(120), "no sample was taken"
    del block
"""
        + SECOND_STAGE_AND_RESULT
    )
    assert result["sources"] == ["sampled", "sampled"]
    assert 48 * MIB < result["first"] - result["before"] < 72 * MIB
    assert abs(result["second"] - result["before"]) < 8 * MIB


@pytest.mark.parametrize(("platform", "unit"), [("darwin", 1), ("freebsd14", 1024)])
def test_without_proc_the_systems_own_peak_counts_bytes_on_macos_and_kib_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, unit: int
) -> None:
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=5000))
    with memory.PeakMeter() as meter:
        pass
    assert (meter.source, meter.peak_bytes) == ("ru_maxrss", 5000 * unit)


def test_resident_bytes_agrees_with_psutil() -> None:
    pytest.importorskip("psutil", reason="psutil is not installed: no second opinion")
    result = in_fresh_process("""
import psutil
block = np.ones(64 * MIB, np.uint8)
result = {"ours": memory.resident_bytes(), "theirs": psutil.Process().memory_info().rss}
""")
    assert result["ours"] == pytest.approx(result["theirs"], abs=4 * MIB)


def test_release_gives_many_small_freed_pieces_back() -> None:
    require_linux()
    result = in_fresh_process("""
pieces = [np.ones(1000, np.uint8) for _ in range(60_000)]
kept = pieces[-1]  # pins the top of the heap, so that free() alone returns nothing
held = memory.resident_bytes()
del pieces
freed = memory.resident_bytes()
memory.release()
result = {"held": held - before, "freed": freed - before, "released": memory.resident_bytes() - before}
""")
    assert result["held"] > 50 * MIB
    assert result["freed"] > 50 * MIB, "free() alone gave it back: this proves nothing"
    assert result["released"] < 20 * MIB


def test_the_meter_counts_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 102.5])
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with memory.PeakMeter() as meter:
        pass
    assert meter.seconds == 2.5


def test_a_kept_mark_is_the_peak_of_the_whole_process() -> None:
    require_linux()
    result = in_fresh_process("""
import resource
memory.keep_mark()
block = np.ones(64 * MIB, np.uint8)
del block
with memory.PeakMeter() as meter:
    pass
kernel = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
result = {"peak": meter.peak_bytes, "source": meter.source, "kernel": kernel, "before": before}
""")
    assert result["source"] == "ru_maxrss"
    assert result["peak"] - result["before"] > 60 * MIB
    assert result["peak"] == pytest.approx(result["kernel"], rel=0.02)

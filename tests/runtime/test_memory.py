import time

import numpy as np
import pytest

from lira_runtime import memory

MIB = 1 << 20


def test_the_peak_holds_what_a_stage_used_and_freed() -> None:
    before = memory.resident_bytes()
    with memory.PeakMeter() as meter:
        block = np.ones(64 * MIB, np.uint8)
        del block
    assert before + 56 * MIB < meter.peak_bytes < before + 90 * MIB


@pytest.mark.skipif(not memory._reset_high_water_mark(), reason="the kernel's high-water mark cannot be reset here")
def test_the_peak_of_one_stage_is_not_in_the_next() -> None:
    with memory.PeakMeter() as first:
        block = np.ones(64 * MIB, np.uint8)
        del block
    memory.release()
    with memory.PeakMeter() as second:
        pass
    assert (first.source, second.source) == ("VmHWM", "VmHWM")
    assert second.peak_bytes < first.peak_bytes - 50 * MIB


def test_where_the_mark_cannot_be_reset_a_thread_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_reset_high_water_mark", lambda: False)
    memory.release()
    before = memory.resident_bytes()
    with memory.PeakMeter() as meter:
        block = np.ones(64 * MIB, np.uint8)
        time.sleep(0.1)
        del block
    memory.release()
    with memory.PeakMeter() as second:
        pass
    assert meter.source == "sampled"
    assert before + 56 * MIB < meter.peak_bytes < before + 90 * MIB
    assert second.peak_bytes < meter.peak_bytes - 50 * MIB


def test_resident_bytes_agrees_with_psutil() -> None:
    psutil = pytest.importorskip("psutil", reason="psutil is not installed: no second opinion")
    assert memory.resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, abs=4 * MIB)


@pytest.mark.skipif(not memory._STATUS.exists(), reason="trimming the heap is for Linux")
def test_release_gives_many_small_freed_pieces_back() -> None:
    memory.release()
    before = memory.resident_bytes()
    pieces = [np.ones(1000, np.uint8) for _ in range(60_000)]
    kept = pieces[-1]  # pins the top of the heap, so that free() alone returns nothing
    held = memory.resident_bytes()
    del pieces
    memory.release()
    assert held > before + 50 * MIB
    assert memory.resident_bytes() < before + 20 * MIB
    assert kept[0] == 1


def test_the_meter_counts_seconds() -> None:
    with memory.PeakMeter() as meter:
        time.sleep(0.05)
    assert 0.05 <= meter.seconds < 5

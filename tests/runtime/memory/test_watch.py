"""Programs that do known things in known phases, watched from outside."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from lira_runtime.errors import BadInput, DamagedBundle, LiRAError, OverBudget
from lira_runtime.memory import watch as watch_module
from lira_runtime.memory.reading import Reading, read
from lira_runtime.memory.watch import Watched, watch

MIB = 1 << 20
PRELUDE = """
import mmap, os, signal, time
from lira_runtime.memory.child import phase
"""
HIGH = f"""
with phase("high", reset=False):
    block = bytearray({64 * MIB})
    del block
"""
TIME = shutil.which("time")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def command(script: str) -> list[str]:
    return [sys.executable, "-c", PRELUDE + script]


def test_each_phase_says_what_is_left_and_how_high_it_went(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * (48 * MIB))
    watched = watch(
        "stage",
        command(f"""
with phase("idle"):
    pass
with phase("load"):
    file = open({str(path)!r}, "rb")
    weights = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    touched = sum(weights[place] for place in range(0, len(weights), mmap.PAGESIZE))
with phase("run"):
    block = bytearray({64 * MIB})
    del block
with phase("rest"):
    pass
"""),
    )
    idle, load, run, rest = watched.phases
    assert [phase.name for phase in watched.phases] == ["idle", "load", "run", "rest"]
    assert 0 < idle.begin <= idle.end <= load.begin <= load.end <= run.begin <= run.end <= rest.begin <= rest.end
    assert load.after.file_backed - idle.after.file_backed == pytest.approx(48 * MIB, rel=0.02)
    assert load.after.anonymous - idle.after.anonymous < MIB
    assert run.peak - load.after.resident == pytest.approx(64 * MIB, rel=0.02)
    assert run.after.resident - load.after.resident < 2 * MIB
    assert rest.peak - load.after.resident < 2 * MIB, "the mark was not set back"
    assert watched.peak == run.peak
    assert {phase.source for phase in watched.phases} == {"kernel"}


def test_samples_follow_memory_that_is_held_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held until it was read so often, however long that takes on a busy machine."""
    seen, begun, enough = list[Reading](), tmp_path / "begun", tmp_path / "enough"

    def counted(pid: int) -> Reading:
        is_held = begun.exists()
        reading = read(pid)
        seen.extend([reading] if is_held else [])
        if len(seen) == 20:
            enough.touch()
        return reading

    monkeypatch.setattr(watch_module, "read", counted)
    start = time.monotonic()
    watched = watch(
        "stage",
        command(f"""
with phase("idle"):
    pass
with phase("fill"):
    block = bytearray({64 * MIB})
with phase("hold"):
    open({str(begun)!r}, "w").close()
    while not os.path.exists({str(enough)!r}):
        time.sleep(0.01)
"""),
    )
    idle, hold = watched.phase("idle"), watched.phase("hold")
    held = [sample for sample in watched.samples if sample.within(hold.begin, hold.end)]
    assert len(held) >= 19, "the last may be over when the process is"
    for sample in held:
        assert sample.reading.anonymous - idle.after.anonymous == pytest.approx(64 * MIB, rel=0.02)
    assert held[-1].seconds - held[0].seconds < hold.seconds < time.monotonic() - start
    assert min(b.seconds - a.seconds for a, b in pairwise(held)) < 0.1, "4 ms, where nothing else runs"
    assert watched.peak_sampled == pytest.approx(watched.peak, rel=0.02)
    assert watched.peak_anonymous == pytest.approx(held[0].reading.anonymous, rel=0.02)


def test_a_reading_that_came_after_its_phase_is_not_counted_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the watcher had been put off the processor: one reading begins in the low phase and ends in the high."""
    low_begun, late, high_begun, done = (tmp_path / name for name in ("low", "late", "high", "done"))

    def put_off(pid: int) -> Reading:
        if low_begun.exists() and not late.exists():
            late.touch()
            while not high_begun.exists():
                time.sleep(0.01)
            reading = read(pid)
            done.touch()
            return reading
        return read(pid)

    monkeypatch.setattr(watch_module, "read", put_off)
    watched = watch(
        "pipeline",
        command(f"""
def tell_and_wait(told, awaited):
    open(told, "w").close()
    while not os.path.exists(awaited):
        time.sleep(0.01)

with phase("low"):
    tell_and_wait({str(low_begun)!r}, {str(late)!r})
with phase("high"):
    block = bytearray({64 * MIB})
    tell_and_wait({str(high_begun)!r}, {str(done)!r})
"""),
    )
    low, high = watched.phase("low"), watched.phase("high")
    assert any(low.begin <= s.seconds <= low.end and s.reading.resident > low.peak + 60 * MIB for s in watched.samples)
    assert high.peak - low.peak == pytest.approx(64 * MIB, rel=0.05)


def test_without_a_mark_of_its_own_a_phase_is_as_high_as_it_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was given back before the phase's end is known by samples alone."""
    filled, seen, looks = tmp_path / "filled", tmp_path / "seen", list[int]()

    def looking(pid: int) -> Reading:
        looks.extend([pid] if filled.exists() else [])
        if len(looks) == 2:  # so that the first is over
            seen.touch()
        return read(pid)

    monkeypatch.setattr(watch_module, "read", looking)
    watched = watch(
        "pipeline",
        command(
            HIGH
            + f"""
with phase("low", reset=False):
    block = bytearray({32 * MIB})
    open({str(filled)!r}, "w").close()
    while not os.path.exists({str(seen)!r}):
        time.sleep(0.01)
    del block
"""
        ),
    )
    high, low = watched.phase("high"), watched.phase("low")
    assert (high.source, low.source) == ("kernel", "sampled")
    assert low.peak - high.after.resident == pytest.approx(32 * MIB, rel=0.1)
    assert low.after.resident - high.after.resident < 4 * MIB, "it was still held: this proves nothing"


def test_without_setting_the_mark_back_a_lower_phase_is_sampled() -> None:
    watched = watch(
        "pipeline",
        command(
            HIGH
            + f"""
with phase("low", reset=False):
    block = bytearray({8 * MIB})
    time.sleep(0.1)
"""
        ),
    )
    high, low = watched.phase("high"), watched.phase("low")
    assert (high.source, low.source) == ("kernel", "sampled")
    assert low.peak - high.after.resident == pytest.approx(8 * MIB, rel=0.1)
    assert watched.peak == high.peak


def test_the_kernels_last_word_on_the_ended_process_is_its_peak() -> None:
    watcher = f"""
import json
from lira_runtime.memory import watch as watch_module
from lira_runtime.memory.reading import Reading, read
from lira_runtime.memory.watch import Watched, watch
watched = watch("pipeline", {command(HIGH)!r})
print(json.dumps([watched.peak, watched.maxrss]))
"""  # in a process of its own: where the watcher has held more than the watched, the kernel's word is of no use
    said = subprocess.run([sys.executable, "-c", watcher], capture_output=True, text=True, check=True).stdout
    peak, maxrss = json.loads(said)
    assert maxrss == pytest.approx(peak, rel=0.02)


def test_the_kernels_last_word_is_not_taken_where_it_may_be_the_watchers_own() -> None:
    held = bytearray(200 * MIB)
    assert watch("pipeline", command(HIGH)).maxrss is None
    del held


@pytest.mark.skipif(TIME is None, reason="there is no time program (Debian's package time)")
def test_the_peak_is_that_of_the_time_program_within_2_percent() -> None:
    assert TIME is not None
    said = subprocess.run([TIME, "-v", *command(HIGH)], capture_output=True, text=True, check=True).stderr
    found = re.search(r"Maximum resident set size \(kbytes\): (\d+)", said)
    if found is None:
        pytest.skip(f"{TIME} is not GNU time: {said!r}")
    assert watch("run", command(HIGH)).peak == pytest.approx(int(found[1]) * 1024, rel=0.02)


@pytest.mark.parametrize(
    ("script", "kind", "sentence"),
    [
        ("import sys; print('error: the prompt is empty.', file=sys.stderr); sys.exit(2)", BadInput, "the prompt is"),
        (
            "with phase('load'): os.kill(os.getpid(), signal.SIGKILL)",
            OverBudget,
            "the process that ran the text encoder, in its phase 'load', was killed",
        ),
        ("os.abort()", DamagedBundle, "the process that ran the text encoder, crashed with SIGABRT"),
    ],
)
def test_a_process_that_fails_is_one_sentence_with_its_own_exit_code(
    script: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        watch("text_encoder", command(script))


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [("MemoryError", OverBudget, "out_of_memory"), ("BadInput('a', 'not_installed')", BadInput, "not_installed")],
)
def test_a_process_that_fails_has_its_own_code_for_programs(raised: str, kind: type[LiRAError], code: str) -> None:
    script = f"""
from lira_runtime.errors import BadInput, cli_guard
def fail(arguments):
    raise {raised}
cli_guard(fail)(["--json"])
"""
    with pytest.raises(kind) as caught:
        watch("decoder", command(script))
    assert caught.value.code == code


def test_an_interrupted_process_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt):
        watch("decoder", command("import sys; sys.exit(130)"))


def test_a_watcher_that_is_interrupted_ends_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = list[int]()

    def interrupted(pid: int) -> Reading:
        if pid == os.getpid():
            return read(pid)
        watched.append(pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(watch_module, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watch("stage", command("time.sleep(60)"))
    assert not Path(f"/proc/{watched[0]}").exists()


def test_a_process_that_ended_before_anybody_looked_has_no_sampled_peak() -> None:
    assert Watched("pipeline", (), (), 5, None).peak_sampled == 0

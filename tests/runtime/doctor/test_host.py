"""The machine: what it lacks for an export is named, and each mend is a command that does something about it."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from lira_runtime.doctor import disk, machine
from lira_runtime.doctor.cli import main
from lira_runtime.doctor.export import need_of
from lira_runtime.doctor.finding import Finding
from lira_runtime.doctor.host import check_processor
from lira_runtime.doctor.needs import known_needs

Doctor = Callable[..., tuple[int, list[dict[str, Any]]]]
MEMINFO = "MemTotal: 64000000 kB\nMemAvailable: {available} kB\nSwapFree: {swap} kB\n"
SMALL = ("--target", "onnx", "--config", "small")
PACKED = f"{'a' * 16}-{'b' * 16}"
"""The name of packed weights in the cache."""


def of(found: list[dict[str, str]], *checks: str) -> list[dict[str, str]]:
    return [each for each in found if each["check"] in checks]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """Bytes that are free below a folder, as a test says; elsewhere 1 TB."""
    rooms: dict[Path, int] = {}

    def usage(path: Path) -> SimpleNamespace:
        found = [room for folder, room in rooms.items() if Path(path).is_relative_to(folder)]
        return SimpleNamespace(free=min(found, default=10**12))

    def same(a: Path, b: Path) -> bool:
        return all(machine.existing(a).is_relative_to(x) == machine.existing(b).is_relative_to(x) for x in rooms)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(machine, "same_disk", same)
    return rooms


@pytest.fixture
def other_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on a disk with room."""
    place = tmp_path / "large"
    place.mkdir()
    monkeypatch.setattr(disk.machine, "roomiest", lambda needed, usual: place)
    return place


def test_every_target_has_a_need_of_every_preset_and_larger_presets_need_more() -> None:
    assert set(known_needs()) == {"onnx", "coreml", "tflite"}
    for presets in known_needs().values():
        assert list(presets) == ["nano", "tiny", "small", "base", "large"]
        amounts = [need.memory for need in presets.values()]
        assert amounts == sorted(amounts) and amounts[0] > 300e6
        assert all(need.disk > 10e6 for need in presets.values())
        assert [need.measured for need in presets.values()][:3] == [True, True, True]


def test_what_was_not_measured_is_called_an_estimate(doctor: Doctor, capsys: pytest.CaptureFixture[str]) -> None:
    assert need_of(("onnx",), "small").measured and not need_of(("onnx",), "large").measured  # type: ignore[union-attr]
    every = need_of(("onnx", "tflite"), "small")
    each = [need_of((target,), "small") for target in ("onnx", "tflite")]
    assert every is not None and not every.measured
    assert every.disk == sum(need.disk for need in each if need)
    assert every.memory == max(need.memory for need in each if need)


@pytest.mark.parametrize(("available", "swap", "fits"), [(60e6, 0, True), (1e6, 30e6, True), (1e6, 0, False)])
def test_memory_is_what_is_free_with_swap_beside_what_the_export_takes(
    available: float, swap: float, fits: bool, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO.format(available=int(available), swap=int(swap)))
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    code, found = doctor(*SMALL, "--out", tmp_path / "out")
    assert bool(of(found, "memory")) != fits and code == (0 if fits else 2)
    for finding in of(found, "memory"):
        needed = known_needs()["onnx"]["small"].memory
        assert f"{needed / 1e9:.1f} GB (measured), 1.0 GB are free" in finding["said"]
        gibibytes = int(finding["mend"].split("fallocate -l ")[1].split("G ")[0])
        assert gibibytes * 2**30 >= needed - 1024 * int(available) > (gibibytes - 1) * 2**30


def test_a_control_group_limits_memory_and_the_mend_is_a_preset_that_fits(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limit").write_text(f"{2 * 10**9}\n")
    (tmp_path / "used").write_text(f"{5 * 10**8}\n")
    monkeypatch.setattr(machine, "_CGROUPS", ((str(tmp_path / "limit"), str(tmp_path / "used")),))
    (finding,) = of(doctor(*SMALL, "--out", tmp_path / "out")[1], "memory")
    assert "1.5 GB are free; a control group limits it" in finding["said"]
    assert finding["mend"] == f"lira-export --target onnx --config nano --out {tmp_path / 'out'}"
    (finding,) = of(doctor(*SMALL)[1], "memory")
    assert finding["mend"] == "lira-export --target onnx --config nano --out build/nano-onnx"
    (tmp_path / "limit").write_text(f"{3 * 10**9}\n")
    (finding,) = of(doctor(*SMALL, "--out", tmp_path / "out")[1], "memory")
    assert "--config tiny" in finding["mend"], "the largest that fits"
    (tmp_path / "used").write_text(f"{3 * 10**9}\n")
    code, found = doctor(*SMALL, "--out", tmp_path / "out", lacking=("memory",))
    assert code == 2 and [each["mend"] for each in of(found, "memory")] == [None], "nothing fits"
    (tmp_path / "limit").write_text("max\n")
    assert not of(doctor(*SMALL, "--out", tmp_path / "out")[1], "memory")
    (tmp_path / "limit").write_text(f"{10**12}\n")
    (tmp_path / "meminfo").write_text(MEMINFO.format(available=10**6, swap=0))
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    (finding,) = of(doctor(*SMALL, "--out", tmp_path / "out")[1], "memory")
    assert "control group" not in finding["said"] and "fallocate" in finding["mend"], "it is not what limits"


def test_a_disk_without_room_sends_the_output_to_one_that_has_it(
    doctor: Doctor, tmp_path: Path, free: Mapping[Path, int], other_disk: Path
) -> None:
    out = tmp_path / "little" / "small-onnx"
    free[tmp_path / "little"] = 10**9  # type: ignore[index]
    (tmp_path / "little").mkdir()
    code, (finding,) = doctor(*SMALL, "--out", out)
    assert code == 2 and finding["said"].endswith(f"1.0 GB are free at {tmp_path / 'little'}")
    words = shlex.split(finding["mend"])
    assert words == ["lira-export", *SMALL, "--out", str(other_disk / "lira" / "small-onnx")]
    assert doctor(*words[1:]) == (0, [])


def test_without_a_place_the_output_is_where_lira_export_writes_it(
    doctor: Doctor, tmp_path: Path, free: dict[Path, int], other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    free[tmp_path] = 10**6
    for target, place in (("onnx", "small-onnx"), ("all", "")):
        _, (finding,) = doctor("--target", target)
        words = shlex.split(finding["mend"].removeprefix(f"TMPDIR={other_disk} "))
        wanted = ["--target", target, "--config", "small", "--out", str(other_disk / "lira" / place)]
        assert words == ["lira-export", *wanted]


def test_what_failed_exports_kept_is_removed_where_that_is_enough(
    doctor: Doctor, tmp_path: Path, free: dict[Path, int], other_disk: Path
) -> None:
    little = tmp_path / "little"
    kept, busy = little / ".lira-a b.kept", little / ".lira-busy.kept"
    for folder in (kept, busy):
        folder.mkdir(parents=True)
        (folder / "graph").write_bytes(os.urandom(2 << 20))
    (little / ".lira-a b.lock").touch()  # as a killed export leaves it
    (little / ".lira-link.kept").symlink_to(other_disk)
    free[little] = known_needs()["onnx"]["small"].disk - (1 << 20)
    with FileLock(little / ".lira-busy.lock"):
        _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert shlex.split(finding["mend"]) == ["rm", "-r", "--", str(kept)]
    (little / ".lira-busy.lock").touch()
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert shlex.split(finding["mend"]) == ["rm", "-r", "--", str(kept), str(busy)]
    free[little] -= 6 << 20
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert finding["mend"].startswith("lira-export ")


def test_packed_weights_are_removed_with_it_where_they_lie_on_the_same_disk(
    doctor: Doctor, tmp_path: Path, free: dict[Path, int], other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    little = tmp_path / "little"
    kept, cache = little / ".lira-a.kept", little / "cache"
    packed, elsewhere = cache / PACKED, other_disk / "cache" / PACKED
    for folder in (kept, packed, elsewhere):
        folder.mkdir(parents=True)
        (folder / "graph").write_bytes(os.urandom(2 << 20))
    for name in ("photos", PACKED + "0", "checked"):
        (cache / name).mkdir()
        (cache / name / "theirs").write_bytes(os.urandom(2 << 20))
    (cache / PACKED.replace("a", "c")).symlink_to(other_disk)
    (cache / PACKED.replace("a", "d")).write_bytes(os.urandom(2 << 20))
    free[little] = known_needs()["onnx"]["small"].disk - (3 << 20)
    monkeypatch.setenv("LIRA_CACHE", str(cache))
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert shlex.split(finding["mend"]) == ["rm", "-r", "--", str(kept), str(packed)]
    free[little] -= 2 << 20
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert finding["mend"].startswith("lira-export "), "what is somebody else's in that folder does not go"
    free[little] += 2 << 20
    monkeypatch.setenv("LIRA_CACHE", str(other_disk / "cache"))
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert finding["mend"].startswith("lira-export "), "what is kept is too little"


def test_temporary_files_go_elsewhere_where_they_are_what_does_not_fit(
    doctor: Doctor, tmp_path: Path, free: dict[Path, int], other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = known_needs()["coreml"]["small"]
    words = ("--target", "coreml", "--config", "small", "--out", tmp_path / "little" / "out")
    (tmp_path / "little" / "tmp").mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "little" / "tmp"))
    free[tmp_path / "little"] = need.disk + 1
    code, (finding,) = doctor(*words)
    assert code == 2 and finding["mend"] == f"export TMPDIR={other_disk}"
    free[tmp_path / "little"] = need.disk - 1
    code, (finding,) = doctor(*words)
    place = f"--out {other_disk / 'lira' / 'out'}"
    assert code == 2 and finding["mend"].startswith(f"TMPDIR={other_disk} lira-export ") and place in finding["mend"]
    free[tmp_path / "little"] = need.disk + 1
    monkeypatch.setattr("tempfile.tempdir", str(other_disk))
    assert doctor(*words) == (0, [])
    free[other_disk] = need.temporary - 1
    code, (finding,) = doctor(*words)
    assert code == 2 and "of temporary files are needed" in finding["said"]


@pytest.mark.parametrize("place", ["/proc/out", "/dev/null/out"])
def test_an_output_that_cannot_be_written_is_a_problem_of_its_own(place: str, doctor: Doctor, other_disk: Path) -> None:
    code, found = doctor(*SMALL, "--out", place)
    (finding,) = of(found, "output")
    assert code == 2 and finding["level"] == "problem" and str(other_disk / "lira" / "out") in finding["mend"]


def test_what_no_command_mends_is_said_to_have_none(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.machine, "roomiest", lambda needed, usual: None)
    (tmp_path / "meminfo").write_text(MEMINFO.format(available=10**6, swap=0))
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    code, found = doctor(*SMALL, "--out", "/proc/out", lacking=("output",))
    assert code == 2 and [each["check"] for each in found] == ["memory", "output"], "one of the two has a mend"


@pytest.mark.parametrize(
    ("flags", "target", "level"),
    [
        ("avx2 avx512_vnni", "onnx", None),
        ("avx2 avx_vnni", "onnx", None),
        ("avx2 fma", "onnx", "notice"),
        ("avx2 fma", "tflite", None),
    ],
)
def test_an_x86_processor_without_vnni_draws_other_pictures_from_int8_onnx(
    flags: str, target: str, level: str | None, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    code, found = doctor("--target", target, "--config", "nano", "--out", tmp_path / "out")
    assert code == 0 and [each["level"] for each in of(found, "processor")] == ([] if level is None else [level])
    for finding in of(found, "processor"):
        assert finding["mend"].endswith("--recipe fp16")


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("fp asimd crc32 asimddp", "has asimd, asimddp"),
        ("fp crc32", "has no vector instructions"),
        (None, "does not say"),
    ],
)
def test_an_arm_processor_is_told_by_what_makes_int8_fast_and_needs_no_mend(
    features: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if features is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nFeatures\t: {features}\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    found = check_processor(None)
    assert (found.level, found.mend) == ("ok", None) and said in found.said


def test_a_long_name_is_printed_whole_and_harmlessly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a command must not be pasted."""
    long = "\x1b[2J" + "long/" * 400
    found = Finding(check="cache", level="notice", said=long, mend=f"rm -r -- {long}")
    monkeypatch.setattr("lira_runtime.doctor.cli.check_cache", lambda: found)
    with pytest.raises(SystemExit):
        main([])
    *_, said, mend = capsys.readouterr().out.splitlines()
    assert mend.endswith(f"mend: rm -r -- \\x1b[2J{'long/' * 400}") and said.endswith(f"\\x1b[2J{'long/' * 400}")


def test_a_cache_that_cannot_be_written_is_a_notice_and_the_mend_is_a_folder_that_can(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIRA_CACHE", "/proc/cache")
    code, found = doctor()
    (finding,) = of(found, "cache")
    assert code == 0 and finding["level"] == "notice"
    shell = ["sh", "-c", f'{finding["mend"]}; printf %s "$LIRA_CACHE"']
    place = Path(
        subprocess.run(shell, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}).stdout
    )
    assert place.parent == tmp_path and place.stat().st_mode & 0o777 == 0o700, "nobody else can guess or open it"
    monkeypatch.setenv("LIRA_CACHE", str(place))
    assert not of(doctor()[1], "cache")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--config", "nano"), "name its --target"),
        (("--target", "onnx", "--config", "huge"), "Unknown config 'huge'; choose one of: nano, tiny"),
        (("--target", "java"), "java"),
    ],
)
def test_a_question_that_cannot_be_asked_is_bad_input(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from lira_runtime.doctor.cli import main

    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    assert stop.value.code == 2 and not said.out and said.err.count("\n") == 1 and sentence in said.err


MEMORY_DISK = Path("/dev/shm")
"""A file system of its own, which most machines have."""


@pytest.mark.skipif(not MEMORY_DISK.is_dir(), reason="one file system alone")
def test_the_roomiest_disk_is_chosen_and_none_where_none_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = {tmp_path: 100, MEMORY_DISK: 200}
    mounted = [("ext4", MEMORY_DISK)]
    monkeypatch.setattr(machine, "_mounts", lambda: mounted)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=rooms[path]))
    assert machine.roomiest(100, [tmp_path]) == MEMORY_DISK
    assert machine.roomiest(201, [tmp_path]) is None
    rooms[tmp_path] = 300
    (tmp_path / "inner").mkdir()
    assert machine.roomiest(100, [tmp_path, tmp_path / "inner"]) == tmp_path
    rooms[tmp_path] = 100
    mounted[:] = [("tmpfs", MEMORY_DISK)]
    assert machine.roomiest(100, [tmp_path, MEMORY_DISK]) == tmp_path, "what is written to memory is no disk"
    assert machine.roomiest(101, [tmp_path, MEMORY_DISK]) is None

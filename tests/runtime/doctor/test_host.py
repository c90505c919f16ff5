"""The machine: what it lacks for an export is named, and each mend is a command that does something about it."""

import os
import shlex
import shutil
from collections import namedtuple
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lira_runtime.doctor import disk, machine
from lira_runtime.doctor.export import need_of
from lira_runtime.doctor.needs import known_needs

Doctor = Callable[..., tuple[int, list[dict[str, Any]]]]
Usage = namedtuple("Usage", ("total", "used", "free"))
MEMINFO = "MemTotal: 64000000 kB\nMemAvailable: {available} kB\nSwapFree: {swap} kB\n"
SMALL = ("--target", "onnx", "--config", "small")


def of(found: list[dict[str, str]], *checks: str) -> list[dict[str, str]]:
    return [each for each in found if each["check"] in checks]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """Bytes that are free below a folder, as a test says; elsewhere 1 TB."""
    rooms: dict[Path, int] = {}

    def usage(path: Path) -> Usage:
        found = [room for folder, room in rooms.items() if Path(path).is_relative_to(folder)]
        return Usage(2 * 10**12, 0, min(found, default=10**12))

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
    monkeypatch.setattr(machine, "_CGROUPS", ())
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
    assert finding["mend"] == "lira-export --target onnx --config nano"
    (tmp_path / "limit").write_text("max\n")
    assert not of(doctor(*SMALL, "--out", tmp_path / "out")[1], "memory")


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


def test_what_failed_exports_kept_is_removed_where_that_is_enough(
    doctor: Doctor, tmp_path: Path, free: dict[Path, int], other_disk: Path
) -> None:
    little = tmp_path / "little"
    kept, busy = little / ".lira-a b.kept", little / ".lira-busy.kept"
    for folder in (kept, busy):
        folder.mkdir(parents=True)
        (folder / "graph").write_bytes(os.urandom(2 << 20))
    (little / ".lira-busy.lock").touch()
    free[little] = known_needs()["onnx"]["small"].disk - (1 << 20)
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert shlex.split(finding["mend"]) == ["rm", "-r", "--", str(kept)]
    free[little] -= 4 << 20
    _, (finding,) = doctor(*SMALL, "--out", little / "small-onnx")
    assert finding["mend"].startswith("lira-export ")


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
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    code, found = doctor("--target", target, "--config", "nano", "--out", tmp_path / "out")
    assert code == 0 and [each["level"] for each in of(found, "processor")] == ([] if level is None else [level])
    for finding in of(found, "processor"):
        assert finding["mend"].endswith("--recipe fp16")


def test_a_cache_that_cannot_be_written_is_a_notice_and_the_mend_is_a_folder_that_can(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIRA_CACHE", "/proc/cache")
    code, found = doctor()
    (finding,) = of(found, "cache")
    assert code == 0 and finding["level"] == "notice"
    name, place = finding["mend"].removeprefix("export ").split("=")
    monkeypatch.setenv(name, place)
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


def test_the_roomiest_disk_is_chosen_and_none_where_none_has_room(tmp_path: Path) -> None:
    place = machine.roomiest(1, [tmp_path])
    assert place is not None and machine.free_bytes(place) >= machine.free_bytes(tmp_path)
    assert machine.roomiest(1 << 60, [tmp_path]) is None

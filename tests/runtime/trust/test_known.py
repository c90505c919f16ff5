"""Files that were right before are not read again, and no changed file passes for one."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from event_lines import read_events
from forgery import FILES, Verify, failures, rewrite

from lira_runtime import cli
from lira_runtime.bundle import Bundle
from lira_runtime.errors import DamagedBundle
from lira_runtime.memory import profile_cli
from lira_runtime.trust import known

Reads = Callable[[Path], list[str]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; what was written a moment ago may be remembered."""
    monkeypatch.setenv("LIRA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known, "SETTLED_NS", 0)
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Open a bundle -> the files that were read for their SHA-256."""
    read, honest = list[str](), known.sha256_of

    def spy(path: Path) -> str:
        read.append(path.name)
        return honest(path)

    monkeypatch.setattr(known, "sha256_of", spy)

    def run(bundle: Path) -> list[str]:
        read.clear()
        Bundle.open(bundle, "known")
        return list(read)

    return run


def flip(path: Path) -> None:
    time.sleep(0.02)  # more than a tick of the clock that gives a file its times
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_a_second_start_reads_no_file_and_another_place_all(
    toy_bundle: Path, tmp_path: Path, cache: Path, reads: Reads
) -> None:
    assert sorted(reads(toy_bundle)) == sorted(FILES)
    assert reads(toy_bundle) == []
    assert len(list((cache / "checked").iterdir())) == 1
    copy = shutil.copytree(toy_bundle, tmp_path / "copy")
    assert sorted(reads(copy)) == sorted(FILES)
    assert reads(toy_bundle) == [] == reads(copy)


def test_a_manifest_that_says_another_hash_is_refused_though_no_file_is_read(
    toy_bundle: Path, cache: Path, reads: Reads
) -> None:
    reads(toy_bundle)
    other = "0" * 64
    rewrite(
        toy_bundle,
        lambda manifest: msgspec.structs.replace(
            manifest, tokenizer=msgspec.structs.replace(manifest.tokenizer, sha256=other)
        ),
    )
    with pytest.raises(DamagedBundle, match=r"tokenizer\.json does not have the SHA-256"):
        reads(toy_bundle)


def test_a_changed_file_is_read_again_even_with_its_size_and_mtime_put_back(
    toy_bundle: Path, cache: Path, reads: Reads
) -> None:
    reads(toy_bundle)
    path = toy_bundle / "decoder.onnx.data"
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(DamagedBundle, match=r"decoder\.onnx\.data does not have the SHA-256"):
        reads(toy_bundle)
    flip(path)
    assert reads(toy_bundle) == ["decoder.onnx.data"]


def test_a_file_in_the_place_of_another_is_read(toy_bundle: Path, cache: Path, reads: Reads) -> None:
    reads(toy_bundle)
    path = toy_bundle / "decoder.onnx.data"
    shutil.copy2(path, toy_bundle.parent / "other")
    flip(toy_bundle.parent / "other")
    os.replace(toy_bundle.parent / "other", path)
    with pytest.raises(DamagedBundle, match="SHA-256"):
        reads(toy_bundle)


def test_what_changed_within_the_last_2_seconds_is_not_remembered(
    toy_bundle: Path, tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIRA_CACHE", str(tmp_path / "cache"))
    changed = {name: (toy_bundle / name).stat().st_ctime_ns for name in FILES}
    newest = max(FILES, key=lambda name: changed[name])

    def at(seconds: float) -> list[str]:
        """What the second of two starts reads, so long after the newest file changed."""
        now = changed[newest] + round(seconds * 1e9)
        monkeypatch.setattr(known, "time", SimpleNamespace(time_ns=lambda: now))
        reads(toy_bundle)
        return reads(toy_bundle)

    assert sorted(at(0)) == sorted(FILES) and not (tmp_path / "cache").exists()
    assert newest in at(1.9)
    assert at(2.1) == []


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"decoder.onnx": 1}', b"[" * 10_000])
def test_a_damaged_cache_is_as_good_as_none(toy_bundle: Path, cache: Path, reads: Reads, content: bytes) -> None:
    reads(toy_bundle)
    (record,) = (cache / "checked").iterdir()
    record.write_bytes(content)
    assert sorted(reads(toy_bundle)) == sorted(FILES)
    assert reads(toy_bundle) == []


def test_a_cache_that_cannot_be_written_is_no_error(toy_bundle: Path, cache: Path, reads: Reads) -> None:
    cache.write_text("a file where the folder should be")
    assert reads(toy_bundle) == reads(toy_bundle) != []


def test_a_user_without_a_home_has_every_file_read(
    toy_bundle: Path, cache: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("LIRA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert reads(toy_bundle) == reads(toy_bundle) != []


def test_the_stated_limit_and_that_lira_verify_does_not_have_it(
    toy_bundle: Path, cache: Path, reads: Reads, verify: Verify
) -> None:
    reads(toy_bundle)
    flip(toy_bundle / "decoder.onnx.data")
    (record,) = (cache / "checked").iterdir()
    forged = msgspec.json.decode(record.read_bytes())
    state = (toy_bundle / "decoder.onnx.data").stat()
    now = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
    forged["decoder.onnx.data"]["state"] = now
    record.write_bytes(msgspec.json.encode(forged))
    assert reads(toy_bundle) == [], "who can write the cache deceives lira-generate"
    assert failures(verify(toy_bundle)[1]) == [("file", "decoder.onnx.data", "wrong_sha256")]


def test_lira_generate_reads_once_and_with_no_verify_says_what_it_skips(
    toy_bundle: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def generate(*flags: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(toy_bundle), "a cat", "--out", str(tmp_path / "a.png"), "--steps", "1", *flags])
        said = capsys.readouterr()
        return stop.value.code, said.out if "--json" in flags else said.err

    assert generate()[0] == 0 and (cache / "checked").is_dir()
    flip(toy_bundle / "decoder.onnx.data")  # its last byte belongs to the ballast
    code, err = generate()
    assert code == 5 and "decoder.onnx.data does not have the SHA-256" in err
    code, err = generate("--no-verify")
    size = sum((toy_bundle / name).stat().st_size for name in FILES)
    assert code == 0
    assert f"notice: --no-verify: the SHA-256 of 11 files, {size / 1e6:.1f} MB, was not looked at" in err.splitlines()
    code, out = generate("--no-verify", "--json")
    assert code == 0 and read_events(out)[0] == {"event": "not_verified", "files": 11, "bytes": size}
    (toy_bundle / "decoder.onnx.data").write_bytes(b"short")
    assert generate("--no-verify")[0] == 5


def test_lira_profile_refuses_a_changed_file_unless_told_not_to_look(
    toy_bundle: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(toy_bundle / "decoder.onnx.data")
    for flags, wanted in (([], 5), (["--no-verify"], 0)):
        with pytest.raises(SystemExit) as stop:
            profile_cli.main([str(toy_bundle), "--steps", "1", *flags])
        err = capsys.readouterr().err
        assert stop.value.code == wanted, err
        assert ("--no-verify" in err) == bool(flags)

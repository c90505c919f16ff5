"""`lira-verify` on the toy bundle's files and manifest, damaged in every way that they can be."""

import errno
import os
import shutil
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from forgery import FILES, Verify, failures, rewrite

from lira_runtime import manifest as m
from lira_runtime.bundle import Bundle
from lira_runtime.say import printable
from lira_runtime.trust import files
from lira_runtime.trust.check import Check
from lira_runtime.trust.cli import main


def test_an_untouched_bundle_passes_every_check(toy_bundle: Path, verify: Verify) -> None:
    code, checks, _ = verify(toy_bundle, "--deep")
    assert code == 0 and {each["status"] for each in checks} <= {"ok", "not_checked"}
    assert sorted(each["subject"] for each in checks if each["check"] == "file") == sorted(FILES)
    graphs = ["text_encoder.onnx", "denoiser.onnx", "decoder.onnx"]
    assert [each["subject"] for each in checks if each["check"] == "tensors"] == graphs
    assert [each["subject"] for each in checks if each["check"] == "golden"] == graphs
    assert [each["status"] for each in checks if each["check"] == "contents"] == ["ok"] * 3


def test_every_check_has_its_line_and_a_last_one_counts_them(
    toy_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy_bundle / "decoder.onnx").unlink()
    with pytest.raises(SystemExit) as stop:
        main([str(toy_bundle)])
    out, err = capsys.readouterr()
    assert stop.value.code == 5
    assert err == f"error: {toy_bundle} is damaged or not to be trusted: 1 checks failed.\n"
    (missing,) = (line for line in out.splitlines() if line.startswith("FAILED"))
    assert missing.split() == f"FAILED file decoder.onnx: the bundle {toy_bundle} lacks the file decoder.onnx.".split()
    assert "not checked here  tensors    decoder.onnx: its files are damaged." in out
    assert out.splitlines()[-1].startswith(f"{toy_bundle}: ") and "1 failed" in out.splitlines()[-1]


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_in_the_file_that_has_it(toy_bundle: Path, verify: Verify, name: str) -> None:
    data = bytearray((toy_bundle / name).read_bytes())
    data[len(data) // 3] ^= 1 << len(name) % 8
    (toy_bundle / name).write_bytes(data)
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and failures(checks) == [("file", name, "wrong_sha256")]
    part = name.split(".")[0]
    if name.endswith((".onnx", ".data")):
        assert [(each["subject"], each["code"]) for each in checks if each["check"] in ("tensors", "contents")] == [
            (subject, "files_damaged" if subject.startswith(part) else None)
            for end in (".onnx", "")
            for subject in (f"{each}{end}" for each in ("text_encoder", "denoiser", "decoder"))
        ], "a damaged graph must not be opened, others must"


def test_one_flipped_bit_anywhere_in_the_manifest_is_found(toy_bundle: Path) -> None:
    path = toy_bundle / "manifest.json"
    whole = path.read_bytes()
    m.parse(whole)
    for position in np.random.default_rng(1).choice(8 * len(whole), 2000, replace=False):
        data = bytearray(whole)
        data[position // 8] ^= 1 << position % 8
        with pytest.raises(m.DamagedBundle):
            m.parse(bytes(data))


def test_all_that_is_wrong_is_listed(toy_bundle: Path, verify: Verify) -> None:
    (toy_bundle / "decoder.onnx").unlink()
    (toy_bundle / "tokenizer.json").write_bytes((toy_bundle / "tokenizer.json").read_bytes()[:-1])
    (toy_bundle / "empty_prompt.f32").write_bytes(b"\0" * (toy_bundle / "empty_prompt.f32").stat().st_size)
    (toy_bundle / "notes.txt").write_text("hello")
    (toy_bundle / "more" / "inside").mkdir(parents=True)
    code, checks, sentence = verify(toy_bundle)
    assert code == 5 and "5 checks failed" in sentence
    assert sorted(failures(checks)) == [
        ("extra", "more/", "extra"),
        ("extra", "notes.txt", "extra"),
        ("file", "decoder.onnx", "missing"),
        ("file", "empty_prompt.f32", "wrong_sha256"),
        ("file", "tokenizer.json", "wrong_size"),
    ]


def test_a_file_that_cannot_be_read_is_wrong_and_its_graph_is_not_opened(
    toy_bundle: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = files.sha256_of

    def refuse(path: Path) -> str:
        if path.name == "decoder.onnx":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return honest(path)

    monkeypatch.setattr(files, "sha256_of", refuse)
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and failures(checks) == [("file", "decoder.onnx", "unreadable")]
    assert [each["code"] for each in checks if each["subject"] == "decoder"] == ["files_damaged"]


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        list(files.extra_paths(toy_bundle, FILES))


def test_links_are_refused_wherever_they_lead(toy_bundle: Path, tmp_path: Path, verify: Verify) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (toy_bundle / "decoder.onnx").rename(outside / "decoder.onnx")
    (toy_bundle / "decoder.onnx").symlink_to(outside / "decoder.onnx")
    assert failures(verify(toy_bundle)[1]) == [("file", "decoder.onnx", "link")]
    (toy_bundle / "decoder.onnx").unlink()
    (toy_bundle / "decoder.onnx").symlink_to("denoiser.onnx")
    assert failures(verify(toy_bundle)[1]) == [("file", "decoder.onnx", "link")]
    (toy_bundle / "decoder.onnx").unlink()
    shutil.move(outside / "decoder.onnx", toy_bundle / "decoder.onnx")
    (toy_bundle / "shortcut").symlink_to(tmp_path, target_is_directory=True)
    assert failures(verify(toy_bundle)[1]) == [("extra", "shortcut/", "extra")]


def test_a_folder_that_is_a_link_is_refused(toy_bundle: Path, tmp_path: Path, verify: Verify) -> None:
    folder = toy_bundle / "words"
    folder.mkdir()
    (toy_bundle / "tokenizer.json").rename(folder / "tokenizer.json")

    def moved(manifest: m.Manifest) -> m.Manifest:
        tokenizer = msgspec.structs.replace(manifest.tokenizer, path="words/tokenizer.json")
        return msgspec.structs.replace(manifest, tokenizer=tokenizer)

    rewrite(toy_bundle, moved)
    assert verify(toy_bundle)[0] == 0
    folder.rename(tmp_path / "words")
    folder.symlink_to(tmp_path / "words", target_is_directory=True)
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and failures(checks) == [("file", "words/tokenizer.json", "link")]


def test_a_manifest_that_is_a_link_is_not_read(toy_bundle: Path, tmp_path: Path, verify: Verify) -> None:
    (toy_bundle / "manifest.json").rename(tmp_path / "manifest.json")
    (toy_bundle / "manifest.json").symlink_to(tmp_path / "manifest.json")
    assert failures(verify(toy_bundle)[1]) == [("manifest", "manifest.json", "link")]
    with pytest.raises(m.DamagedBundle, match=r"manifest\.json .* is a link"):
        Bundle.open(toy_bundle)


@pytest.mark.parametrize(
    ("data", "named", "said"),
    [
        (b"", "unreadable", "cannot be read"),
        (b"{}", "unreadable", "cannot be read"),
        (b'{"format_version": 6}', "version", "a newer LiRA wrote it"),
        (b'{"format_version": 4}', "version", "export the bundle again"),
        (None, "missing", "holds no manifest.json"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_the_one_failure(
    toy_bundle: Path, verify: Verify, data: bytes | None, named: str, said: str
) -> None:
    (toy_bundle / "manifest.json").unlink()
    if data is not None:
        (toy_bundle / "manifest.json").write_bytes(data)
    code, checks, _ = verify(toy_bundle)
    assert code == 5 and failures(checks) == [("manifest", "manifest.json", f"manifest_{named}")]
    assert said in checks[0]["said"]


def test_a_path_out_of_the_bundle_is_not_followed(toy_bundle: Path, verify: Verify) -> None:
    path = toy_bundle / "manifest.json"
    for name in ("../tokenizer.json", "/etc/passwd", "a\\u001b[2Jb"):
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b'"tokenizer.json"', f'"{name}"'.encode()))
        code, checks, _ = verify(toy_bundle)
        assert code == 5 and "unsafe path" in checks[0]["said"] and len(checks) == 1
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--checkpoint", "/nowhere"], "the checkpoint /nowhere is not a directory"),
        (["--checkpoint", "demo"], "weights are from a seed, not from --checkpoint demo"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_options_that_make_no_sense_are_bad_input(
    toy_bundle: Path, verify: Verify, flags: list[str], said: str
) -> None:
    code, _, sentence = verify(toy_bundle, *flags)
    assert code == 2 and said in sentence


def test_what_is_no_folder_is_bad_input(tmp_path: Path, verify: Verify) -> None:
    assert verify(tmp_path / "none")[0] == 2
    (tmp_path / "file").write_text("x")
    assert verify(tmp_path / "file")[0] == 2


@pytest.mark.skipif(os.name != "posix", reason="such names are POSIX's")
def test_names_that_hold_anything_are_printed_harmlessly(toy_bundle: Path, verify: Verify) -> None:
    for name in (b"\x1b[2J", b"\xff\xfe", b"two\nlines"):
        Path(os.fsdecode(os.fsencode(toy_bundle) + b"/" + name)).write_bytes(b"")
    names = sorted(subject for _, subject, _ in failures(verify(toy_bundle)[1]))
    assert names == ["\\udcff\\udcfe", "\\x1b[2J", "two\\nlines"]
    assert printable("a tidy näme.onnx") == "a tidy näme.onnx"
    assert "\x1b" not in Check("contents", "decoder", "failed", "contents_differ", "\x1b[2J 1, not 0.").line()


def test_what_is_no_manifest_has_no_digest(toy_bundle: Path, tmp_path: Path, verify: Verify) -> None:
    """Nobody's file outside is described, and none of 60 GB is read; the fixture compares digests."""
    honest = (toy_bundle / "manifest.json").read_bytes()
    (toy_bundle / "manifest.json").rename(tmp_path / "secret")
    (toy_bundle / "manifest.json").symlink_to(tmp_path / "secret")
    assert failures(verify(toy_bundle)[1]) == [("manifest", "manifest.json", "link")]
    (toy_bundle / "manifest.json").unlink()
    (toy_bundle / "manifest.json").write_bytes(honest)
    os.truncate(toy_bundle / "manifest.json", 60 << 30)  # of no block
    started = time.process_time()
    assert failures(verify(toy_bundle)[1]) == [("manifest", "manifest.json", "manifest_unreadable")]
    assert time.process_time() - started < 5

"""Codes of errors: each is documented, and what is wrong with a bundle has the code that says so."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from event_lines import read_events
from forgery import rewrite
from toy_bundle import write_toy_bundle

from lira_runtime import manifest as m
from lira_runtime.bundle import Bundle
from lira_runtime.cli import main
from lira_runtime.codes import CODES, DAMAGED, NOT_CHECKED, Code
from lira_runtime.errors import LiRAError
from lira_runtime.files import sha256_of
from lira_runtime.memory.profile_cli import main as profile

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"
Damage = Callable[[Path], object]


def test_every_code_has_one_meaning_and_one_exit_code_and_stands_in_the_documentation() -> None:
    listed = [(code, exit_code) for exit_code, codes in CODES.items() for code in codes]
    assert sorted([code for code, _ in listed] + [*NOT_CHECKED]) == sorted(get_args(Code))
    text = DOCUMENT.read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \| (\d+) \| ", text, re.MULTILINE)
    assert [(code, int(exit_code)) for code, exit_code in documented] == listed
    assert re.findall(r"^\| `(\w+)` \| - \| ", text, re.MULTILINE) == [*NOT_CHECKED]


def text(change: Callable[[str], str]) -> Damage:
    """Change the manifest's own text."""

    def damage(bundle: Path) -> None:
        path = bundle / "manifest.json"
        path.write_text(change(path.read_text()))

    return damage


def forged(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the manifest, and give it its checksum again without a look at what it says."""

    def damage(bundle: Path) -> None:
        record = msgspec.json.decode((bundle / "manifest.json").read_bytes())
        change(record)
        (bundle / "manifest.json").write_bytes(msgspec.json.encode(record))

    return damage


def flip(name: str) -> Damage:
    def damage(bundle: Path) -> None:
        content = bytearray((bundle / name).read_bytes())
        content[-1] ^= 1
        (bundle / name).write_bytes(content)

    return damage


def to_link(bundle: Path) -> None:
    (bundle / "decoder.onnx").rename(bundle.parent / "elsewhere.onnx")
    (bundle / "decoder.onnx").symlink_to(bundle.parent / "elsewhere.onnx")


def with_true_entry(name: str, content: bytes) -> Damage:
    """A file that is no longer what it should be, under a manifest that says so."""

    def damage(bundle: Path) -> None:
        (bundle / name).write_bytes(content)

        def told(manifest: m.Manifest) -> m.Manifest:
            entry = m.FileEntry(path=name, bytes=len(content), sha256=sha256_of(bundle / name))
            if name == manifest.tokenizer.path:
                return msgspec.structs.replace(manifest, tokenizer=entry)
            parts = tuple(
                msgspec.structs.replace(part, files=tuple(entry if f.path == name else f for f in part.files))
                for part in manifest.components
            )
            return msgspec.structs.replace(manifest, components=parts)

        rewrite(bundle, told)

    return damage


WRONG: dict[str, Damage] = {
    "manifest_missing": lambda bundle: (bundle / "manifest.json").unlink(),
    "manifest_unreadable": text(lambda old: old[: len(old) // 2]),
    "manifest_version": text(lambda old: old.replace('"format_version": 5', '"format_version": 6')),
    "manifest_checksum": text(lambda old: old.replace('"preset": "toy"', '"preset": "boy"')),
    "manifest_path": forged(lambda record: record["tokenizer"].update(path="../tokenizer.json")),
    "manifest_inconsistent": forged(lambda record: record["components"].pop()),
    "missing": lambda bundle: (bundle / "decoder.onnx").unlink(),
    "link": to_link,
    "wrong_size": lambda bundle: (bundle / "tokenizer.json").write_text("{}"),
    "wrong_sha256": flip("decoder.onnx.data"),
}


@pytest.mark.parametrize("code", WRONG)
def test_what_is_wrong_with_a_bundle_has_its_code(
    code: Code, toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code in DAMAGED
    WRONG[code](toy_bundle)
    with pytest.raises(LiRAError) as refused:
        Bundle.open(toy_bundle)
    assert (refused.value.code, refused.value.exit_code) == (code, 5)
    assert drawn(toy_bundle, tmp_path, capsys) == (5, code)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("tokenizer.json", b"{}", "tokenizer_unreadable"),
        ("decoder.onnx", b"no graph", "graph_refused"),
    ],
)
def test_a_file_that_its_manifest_vouches_for_and_that_is_none_has_its_code(
    name: str, content: bytes, code: Code, toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_true_entry(name, content)(toy_bundle)
    assert drawn(toy_bundle, tmp_path, capsys) == (5, code)
    if sys.platform == "linux":  # a process of its own runs into it
        assert failed(profile, [str(toy_bundle), "--no-verify", "--json"], capsys) == (5, code)


def test_numbers_that_are_none_have_their_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_toy_bundle(tmp_path / "infinite", denoiser_gain=float("inf"))
    assert drawn(tmp_path / "infinite", tmp_path, capsys) == (4, "not_finite")
    write_toy_bundle(tmp_path / "states")
    content = b"\xff" * (tmp_path / "states" / "empty_prompt.f32").stat().st_size  # NaN throughout
    (tmp_path / "states" / "empty_prompt.f32").write_bytes(content)

    def told(manifest: m.Manifest) -> m.Manifest:
        assert manifest.empty_prompt is not None
        sha256 = sha256_of(tmp_path / "states" / "empty_prompt.f32")
        return msgspec.structs.replace(
            manifest, empty_prompt=msgspec.structs.replace(manifest.empty_prompt, sha256=sha256)
        )

    rewrite(tmp_path / "states", told)
    assert drawn(tmp_path / "states", tmp_path, capsys) == (5, "tensor_not_finite")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("none", "a cat", "--out", "a.png"), "no_bundle"),
        (("none", "a cat"), "usage"),
        (("none", "a cat", "--out", "a.png", "--surprise"), "usage"),
        (("none", "a cat", "--out", "/proc/a.png"), "not_writable"),
    ],
)
def test_a_request_that_cannot_be_served_has_its_code(
    words: tuple[str, ...], code: Code, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*words, "--json"])
    said = capsys.readouterr()
    (error,) = read_events(said.out)
    assert (stop.value.code, error["exit_code"], error["code"]) == (2, 2, code)
    assert said.err == f"error: {error['message']}\n"


def drawn(bundle: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and code of the error, of `lira-generate --json`, which writes nothing."""
    flags = ["--out", str(folder / "a.png"), "--guidance", "3", "--json"]
    found = failed(main, [str(bundle), "a cat", *flags], capsys)
    assert not (folder / "a.png").exists()
    return found


def failed(command: Callable[..., object], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and code of the error."""
    with pytest.raises(SystemExit) as stop:
        command(arguments)
    error = read_events(capsys.readouterr().out)[-1]
    assert error["exit_code"] == stop.value.code
    return error["exit_code"], error["code"]


def test_a_name_that_is_no_unicode_is_told_to_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["none-\udcff", "a cat", "--out", "a.png", "--json"])
    (error,) = read_events(capsys.readouterr().out)
    assert stop.value.code == 2 and error["message"] == "there is no bundle at none-\\udcff."

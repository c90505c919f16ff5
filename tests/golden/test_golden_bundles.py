"""The runtime says of every golden manifest, and of every changed bundle, what the vectors say."""

import base64
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lira_runtime import manifest
from lira_runtime.bundle import Bundle
from lira_runtime.codes import DAMAGED
from lira_runtime.errors import DamagedBundle
from lira_runtime.trust.verify import Asked, verify

HERE = Path(__file__).parent


def read(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def code_of(work: Callable[..., object], *arguments: Any) -> str | None:
    try:
        work(*arguments)
    except DamagedBundle as error:
        return error.code
    return None


def manifest_bytes(case: Mapping[str, Any]) -> bytes:
    return case["text"].encode() if "text" in case else base64.b64decode(case["text_b64"])


def test_manifests() -> None:
    wrong = {}
    for case in read("manifests")["cases"]:
        said = code_of(manifest.parse, manifest_bytes(case))
        if said != case["code"]:
            wrong[case["name"]] = said
    assert not wrong


def test_manifests_are_of_every_kind() -> None:
    cases = read("manifests")["cases"]
    codes = [case["code"] for case in cases]
    assert len(codes) >= 80 and codes.count(None) >= 15
    assert {code for code in codes if code} == {
        "manifest_unreadable",
        "manifest_version",
        "manifest_checksum",
        "manifest_path",
        "manifest_inconsistent",
    }
    assert set(codes) - {None} <= set(DAMAGED)


FILES = read("files")
LOOKED_AT = ("manifest", "file", "extra", "parity")
"""What the vectors are about; a signature is more than a file that may be there."""


def write_base(folder: Path) -> None:
    for path, content in FILES["base"]["files"].items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(base64.b64decode(content))
    (folder / "manifest.json").write_bytes(FILES["base"]["manifest"].encode())


def apply(folder: Path, change: Mapping[str, Any]) -> None:
    path = folder / change["path"]
    match change["op"]:
        case "delete":
            remove(path)
        case "truncate":
            path.write_bytes(path.read_bytes()[: change["offset"]])
        case "flip":
            data = bytearray(path.read_bytes())
            data[change["offset"]] ^= 1
            path.write_bytes(data)
        case "append":
            path.write_bytes(path.read_bytes() + b"\0")
        case "add":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"extra")
        case "write":
            path.write_bytes(change["text"].encode())
        case "directory":
            remove(path)
            path.mkdir(parents=True)
        case "link":
            if path.exists():
                shutil.move(path, path.parent / change["to"])
            path.symlink_to(change["to"])
        case other:
            raise AssertionError(other)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("case", FILES["cases"], ids=lambda case: case["name"])
def test_files(case: Any, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_base(folder)
    for change in case["change"]:
        apply(folder, change)
    assert verified(folder) == case["code"]
    assert code_of(Bundle.open, folder) == case["open_code"]


def verified(folder: Path) -> str | None:
    """What `lira-verify` says first of manifest, files, what is too many and stated parity; the graphs are none."""
    checks = [check for check in verify(folder, Asked()) if check.check in LOOKED_AT]
    return next((check.code for check in checks if check.failed), None)

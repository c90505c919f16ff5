"""Bundles that cases are made from: each case gets links to the same files, and replaces those that it changes."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

MANIFEST, SIGNATURE = "manifest.json", "manifest.json.sig"
ZEROS = "0" * 64


def in_child(work: Callable[[], object]) -> None:
    """Do something in a child, so that no session and no thread is left here. Raises RuntimeError where it fails."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError("what a class begins with could not be made")


def signed_toy(folder: Path) -> tuple[Path, Path]:
    """The toy bundle, signed, and the public key."""
    from toy_bundle import write_toy_bundle

    from lira_runtime.trust.signature import make_keys, read_private_key, sign

    bundle, key = folder / "toy", folder / "key.pem"

    def make() -> None:
        write_toy_bundle(bundle)
        make_keys(key)
        sign((bundle / MANIFEST).read_bytes(), read_private_key(key), bundle)

    in_child(make)
    return bundle, folder / "key.pub.pem"


def link_tree(source: Path, goal: Path) -> None:
    """A folder of links to another's files."""
    shutil.rmtree(goal, ignore_errors=True)
    shutil.copytree(source, goal, copy_function=os.link)


def put(path: Path, data: bytes) -> None:
    """Write a file anew: what it was linked to stays as it is."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def files_of(bundle: Path) -> list[str]:
    """The names of a bundle's files, in order."""
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


def pick(random: Random, bundle: Path, ends: tuple[str, ...] = ("",)) -> Path:
    """One of a bundle's files, of those that end so."""
    return bundle / random.choice([name for name in files_of(bundle) if name.endswith(ends) and name != SIGNATURE])


def put_manifest(bundle: Path, data: bytes) -> None:
    """Write a manifest, with its own checksum made to fit where it has one."""
    record = _record(data)
    stored = record.get("checksum") if isinstance(record, dict) else None
    if isinstance(stored, str) and len(stored) == 64:
        before, _, after = data.rpartition(stored.encode())
        fitting = hashlib.sha256(before + ZEROS.encode() + after).hexdigest()
        data = before + fitting.encode() + after
    put(bundle / MANIFEST, data)


def forge_hashes(bundle: Path) -> None:
    """Write sizes and SHA-256 of the files as they are into the manifest, as one would who wants to be believed."""
    record = json.loads((bundle / MANIFEST).read_bytes())
    for entry in entries(record):
        path = bundle / entry["path"]
        if path.is_file():
            entry |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    put_manifest(bundle, json.dumps(record, indent=2).encode())


def entries(value: Any) -> Iterator[dict[str, Any]]:
    """Every record of a file in a manifest."""
    if isinstance(value, dict):
        if {"path", "bytes", "sha256"} <= value.keys():
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from entries(each)


def right_manifest(bundle: Path, exact: bool = True) -> dict[str, Any] | None:
    """The manifest of a bundle that holds what it says; None for any other. Our own reading of it.

    exact: and nothing else, which `lira-verify` asks and what runs a bundle does not.
    """
    data = (bundle / MANIFEST).read_bytes()
    record = _record(data)
    if not isinstance(record, dict) or record.get("format_version") != 5 or not isinstance(record.get("checksum"), str):
        return None
    before, _, after = data.rpartition(record["checksum"].encode())
    if hashlib.sha256(before + ZEROS.encode() + after).hexdigest() != record["checksum"]:
        return None
    try:
        named = [entry["path"] for entry in entries(record) if _is_right(bundle, entry)]
        everything = len(named) == len(list(entries(record)))
    except (OSError, ValueError, TypeError):  # a path that is none
        return None
    return record if everything and (not exact or set(files_of(bundle)) <= {MANIFEST, SIGNATURE, *named}) else None


def _is_right(bundle: Path, entry: dict[str, Any]) -> bool:
    """Whether a file lies in the bundle, and not behind a link, with its size and SHA-256."""
    path = bundle / entry["path"]
    if path.resolve() != bundle.resolve() / entry["path"] or not path.is_file():
        return False
    data = path.read_bytes()
    return len(data) == entry["bytes"] and hashlib.sha256(data).hexdigest() == entry["sha256"]


def _record(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None

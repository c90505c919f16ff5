"""Manifests that lie, each with its own checksum made to fit."""

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from campaign.bundles import MANIFEST, entries, put, put_manifest
from campaign.damage import manifest_value
from campaign.hostile import NAMES, PATHS, WRITTEN, at, leaves, value_for, with_leaf, without


def manifest_of(bundle: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((bundle / MANIFEST).read_bytes())
    return record


def put_record(bundle: Path, record: object) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False)
    put_manifest(bundle, text.encode("utf-8", "surrogatepass"))


def value(random: Random, bundle: Path) -> str:
    """A value in the manifest is another."""
    note = manifest_value(random, bundle)
    put_manifest(bundle, (bundle / MANIFEST).read_bytes())
    return note


def structure(random: Random, bundle: Path) -> str:
    """Something in the manifest is missing, there twice, or in another's place."""
    record = manifest_of(bundle)
    places = leaves(record)
    where, kind = random.choice(places), random.choice(["gone", "another's", "new key", "list twice"])
    if kind == "gone":
        record = without(record, where)
    elif kind == "another's":
        record = with_leaf(record, where, at(record, random.choice(places)))
    elif kind == "new key":
        inner = at(record, where[:-1])
        if isinstance(inner, dict):
            inner[random.choice(NAMES)[:300]] = value_for(random, ())
    else:
        inner = at(record, where[:-1])
        if isinstance(inner, list):
            inner.append(at(record, where))
        else:
            record = with_leaf(record, where, [at(record, where)] * 2)
    put_record(bundle, record)
    return f"manifest {'.'.join(map(str, where))} {kind}"


def version(random: Random, bundle: Path) -> str:
    """The manifest is of another version."""
    wanted = random.choice([6, 7, 4, 1, 0, -5, 2**31, 2**70, 5.0, 5.5, "5", "six", None, True, [5], 10**400])
    put_record(bundle, manifest_of(bundle) | {"format_version": wanted})
    return f"format_version {str(wanted)[:30]}"


def depth(random: Random, bundle: Path) -> str:
    """JSON within JSON within JSON."""
    levels, record = random.choice([2, 50, 500, 1100, 5_000, 100_000, 1_000_000]), manifest_of(bundle)
    where = random.choice(leaves(record))
    text = json.dumps(with_leaf(record, where, "DEEP"), indent=2)
    deep = random.choice([("[", "]"), ('{"a":', "}")])
    inside = random.choice(["1", ""]) if deep[0] == "[" else "1"
    closed = random.random() < 0.8
    put_manifest(
        bundle, text.replace('"DEEP"', deep[0] * levels + inside + (deep[1] * levels if closed else "")).encode()
    )
    return f"{levels} levels at {'.'.join(map(str, where))}"


def number(random: Random, bundle: Path) -> str:
    """A number is written as no number should be."""
    record = manifest_of(bundle)
    where = random.choice([place for place in leaves(record) if type(at(record, place)) in (int, float)])
    written = random.choice(WRITTEN)
    put_manifest(bundle, json.dumps(with_leaf(record, where, "HERE"), indent=2).replace('"HERE"', written).encode())
    return f"{'.'.join(map(str, where))} = {written[:20]}"


def encoding(random: Random, bundle: Path) -> str:
    """The manifest's text is in another encoding, has something before or after it, or is no JSON."""
    data = (bundle / MANIFEST).read_bytes()
    text = data.decode()
    changed = random.choice(
        [
            b"\xef\xbb\xbf" + data,
            text.encode("utf-16"),
            text.encode("utf-32"),
            data + b"{}",
            data + b"\0",
            b"\0" + data,
            data.replace(b'"preset"', b'"pre\xffset"'),
            data.replace(b'"toy"', b'"\\ud800"', 1),
            data.replace(b'"toy"', b'"\xed\xa0\x80"', 1),
            data.replace(b"\n", b"\r\n"),
            data.replace(b"\n", b"\n// a remark\n", 1),
            data.rstrip()[:-1] + b",}",
            b"[" + data + b"]",
            b"",
            b" " * (5 << 20),
            data + b" " * (3 << 20),
        ]
    )
    put_manifest(bundle, changed)
    return f"manifest of {len(changed)} bytes that begins {changed[:12]!r}"


def place(random: Random, bundle: Path) -> str:
    """A file of the manifest lies elsewhere, where there is such a file with the right hash."""
    record = manifest_of(bundle)
    entry = random.choice(list(entries(record)))
    old, new = entry["path"], random.choice(PATHS)
    entry["path"] = new
    for component in record["components"]:
        for graph in component["graphs"]:
            if graph["path"] == old:
                graph["path"] = new
    goal = (bundle / new).absolute()
    if "\0" not in new and len(new) < 255 and os.path.normpath(goal).startswith(f"{bundle.parent}{os.sep}"):
        data = (bundle / old).read_bytes()
        try:
            if random.random() < 0.5:
                (bundle / old).unlink()
            put(goal, data)
        except OSError:  # it is a folder, or lies behind a file
            pass
    put_record(bundle, record)
    return f"{old} -> {new[:60]!r}"


def size(random: Random, bundle: Path) -> str:
    """The whole manifest agrees on pictures of another size, and no graph does."""
    side, record = random.choice([32, 2000, 20_000, 60_000, 200_000, 2**31 * 2, 2**60]), manifest_of(bundle)
    record["resolutions"] = [side]
    for component in record["components"]:
        graph = component["graphs"][0]
        graph["golden"] = None
        graph["resolution"] = None if graph["resolution"] is None else side
        for tensor in (*graph["inputs"], *graph["outputs"]):
            if tensor["name"] in ("latent", "velocity", "image"):
                tensor["shape"][2:] = 2 * [side if tensor["name"] == "image" else side // 2]
    for golden in bundle.glob("golden-*"):
        golden.unlink()
    put_record(bundle, record)
    return f"{side} px"

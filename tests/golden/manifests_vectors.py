"""manifests.json: what a reader says of a manifest. Cases of fields are in manifest_changes.py, the others here."""

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

from manifest_base import IMAGE, LATENT, ZEROS, Record, base, component, large_golden, seal, small, written
from manifest_changes import (
    DECODER,
    DENOISER,
    GOLDEN,
    INCONSISTENT,
    PATH,
    PATHS,
    REQUIRED,
    TEXT,
    UNREADABLE,
    VALUES,
    VERSION,
    Keys,
)

CHECKSUM = "manifest_checksum"
Case = tuple[str, bytes, str | None, str]
"""Name, the manifest's bytes, code, reason."""


def at(record: Record, keys: Keys) -> Any:
    """What lies in a record at some place."""
    for key in keys:
        record = record[key]  # type: ignore[index]
    return record


def changed(keys: Keys, value: Any, code: str | None) -> bytes:
    """The base with one value put in its place."""
    record = small() if code in (UNREADABLE, VERSION) and keys[:2] not in (TEXT, DECODER) else base()
    at(record, keys[:-1])[keys[-1]] = value
    return written(record)


def without(keys: Keys) -> bytes:
    """The small base without one field."""
    record = small()
    del at(record, keys[:-1])[keys[-1]]
    return written(record)


def fields() -> Iterator[Case]:
    """Missing fields, values, paths."""
    for where, names in REQUIRED.items():
        for name in names.split():
            said = "/".join(map(str, (*where, name)))
            yield f"without {said}", without((*where, name)), UNREADABLE, "required"
    for keys, value, code, why in VALUES:
        yield f"{'/'.join(map(str, keys))} = {json.dumps(value)[:40]}: {why}", changed(keys, value, code), code, why
    for path, code, why in PATHS:
        yield f"path {json.dumps(path)[:40]}: {why}", changed((*DENOISER, "files", 1, "path"), path, code), code, why
    for where in (("tokenizer",), ("empty_prompt",), GOLDEN):
        yield (
            f"unsafe path of {where[-1]}",
            changed((*where, "path"), "../a", PATH),
            PATH,
            "every file's path is looked at",
        )


def replaced(old: str, new: str) -> bytes:
    """The small base's text with its first `old` replaced, sealed again."""
    text = written(small()).decode()
    assert old in text, old
    return seal(text.replace(old, new, 1))


def texts() -> Iterator[Case]:
    """JSON that is written in other ways, or is none."""
    good, steps = written(small()), '"steps":20'
    yield "base", written(base()), None, "a whole bundle"
    yield "small base", good, None, "a partial one"
    yield "indented", written(small(), indent=1, separators=None), None, "as an exporter writes it, more or less"
    yield "tabs and line ends", replaced("{", "\t\r\n {") + b"\n \t\r\n", CHECKSUM, "it does for the checksum"
    yield "escaped", written({**small(), "preset": "é🍎"}, ensure_ascii=True), None, "escapes, of two surrogates too"
    yield "keys in another order", written(dict(reversed(small().items()))), None, "the order does not count"
    yield "escaped key", replaced('"preset"', '"\\u0070reset"'), None, "an escaped letter is the letter"
    yield "escaped slash", replaced("denoiser.mlpackage/", "denoiser.mlpackage\\/"), None, "the same"
    yield "twice, the last counts", replaced('"preset":"toy"', '"preset":"a","preset":"toy"'), None, "documented"
    twice = replaced('"path":"tokenizer.json"', '"path":"tokenizer.json","path":"../a"')
    yield "twice, the last is unsafe", twice, PATH, "the last counts"
    yield "another version at the end", replaced('"tools"', '"format_version":6,"tools"'), VERSION, "the last counts"
    for name, new in (
        ("NaN", "NaN"),
        ("Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("a number of 400 digits", "9" * 400),
        ("a number that begins with 0", "05"),
        ("a number that begins with +", "+5"),
        ("a number that begins with a dot", ".5"),
        ("a number that ends with a dot", "5."),
        ("a hexadecimal number", "0x5"),
        ("a bare word", "three"),
        ("True", "True"),
        ("nothing", ""),
    ):
        yield f"shift is {name}", replaced('"shift":3.0', f'"shift":{new}'), UNREADABLE, "no number of JSON's"
    yield "1e999 among drifts", replaced("45.5]", "45.5,1e999]"), UNREADABLE, "no number that float64 holds"
    yield "an exponent for a whole number", replaced(steps, '"steps":2e1'), UNREADABLE, "written without an exponent"
    seed = '"seed":18446744073709551615'
    yield "4,300 digits", replaced(seed, f'"seed":{"9" * 4300}'), None, "a whole number has no largest"
    yield "4,301 digits", replaced(seed, f'"seed":{"9" * 4301}'), UNREADABLE, "but no number has more digits"
    yield "single quotes", replaced('"preset":"toy"', "'preset':'toy'"), UNREADABLE, "no JSON"
    yield "comment", replaced('"preset"', '/* */"preset"'), UNREADABLE, "no JSON"
    yield "comma after the last", replaced('"resolutions":[4]', '"resolutions":[4,]'), UNREADABLE, "no JSON"
    yield "comma missing", replaced(',"preset"', '"preset"'), UNREADABLE, "no JSON"
    yield "raw tab in text", replaced('"toy"', '"to\ty"'), UNREADABLE, "control characters are escaped"
    yield "unknown escape", replaced('"toy"', '"to\\x79"'), UNREADABLE, "no JSON"
    yield "half an escape", replaced('"toy"', '"to\\u00"'), UNREADABLE, "no JSON"
    yield "lone high surrogate", replaced('"toy"', '"\\ud83c"'), UNREADABLE, "no character"
    yield "lone low surrogate", replaced('"toy"', '"\\udf4e"'), UNREADABLE, "no character"
    yield "surrogates the wrong way round", replaced('"toy"', '"\\udf4e\\ud83c"'), UNREADABLE, "no characters"
    yield "escaped zero in text", replaced('"toy"', '"to\\u0000y"'), None, "text may hold it, a path may not"
    deep = replaced('"preset"', f'"deep":{"[" * 5000}{"]" * 5000},"preset"')
    yield "nested 5,000 deep", deep, UNREADABLE, "an unknown field, and no stack is lost over it"
    inside = "[" * 499 + '"]"' + "]" * 499
    newer = f'{{"format_version":6,"new":{inside}}}'
    yield "version 6, nested 500 deep", newer.encode(), VERSION, "as deep as a reader goes; a bracket in a text is none"
    deeper = newer.replace('"]"', "[]")
    yield "version 6, nested 501 deep", deeper.encode(), UNREADABLE, "deeper than any reader goes, whatever its version"
    yield "brackets alone", b"[" * 5000, UNREADABLE, "no JSON, and no stack is lost over it"
    yield from wholes(good)


def wholes(good: bytes) -> Iterator[Case]:
    """What is wrong with the file as a whole."""
    yield "byte order mark", b"\xef\xbb\xbf" + good, UNREADABLE, "RFC 8259: none is written"
    yield "UTF-16", good.decode().encode("utf-16"), UNREADABLE, "UTF-8 alone"
    for name, raw in (("a byte", b"\xff"), ("an overlong slash", b"\xc0\xaf"), ("a surrogate", b"\xed\xa0\x80")):
        yield f"{name} that is no UTF-8", seal(good.replace(b'"toy"', b'"to' + raw + b'y"', 1)), UNREADABLE, "UTF-8"
    yield "one byte less", good[:-1], UNREADABLE, "cut"
    yield "half of it", good[: len(good) // 2], UNREADABLE, "cut"
    yield "something after it", good + b"x", UNREADABLE, "one value alone"
    yield "twice in one file", good + good, UNREADABLE, "one value alone"
    yield "a zero after it", good + b"\0", UNREADABLE, "no white space of JSON's"
    yield "a form feed after it", good + b"\x0c", UNREADABLE, "no white space of JSON's"
    for data in (b"", b" ", b"null", b"[]", b"5", b'"manifest"', b"{}", b"{"):
        yield f"only {data.decode()!r}", data, UNREADABLE, "no record with a format_version"
    yield "version 6 and unknown fields", b'{"format_version":6,"new":[{}]}', VERSION, "a newer one is said to be newer"
    yield "version 4 and nothing else", b'{"format_version":4}', VERSION, "before any other field is asked for"
    yield "version 6, no JSON", b'{"format_version":6,"new":[}', UNREADABLE, "what is no JSON has no version"
    yield "version 5 and nothing else", b'{"format_version":5}', UNREADABLE, "fields are missing"


def contradictions() -> Iterator[Case]:
    """Whole records that do or do not fit together."""
    two = base()
    two["resolutions"] = [4, 8]
    for number in (0, 2):
        (graph,) = two["components"][number]["graphs"]
        large = json.loads(json.dumps(graph).replace("4, 2, 2", "4, 4, 4").replace("3, 4, 4", "3, 8, 8"))
        large.update(resolution=8, golden=None)
        two["components"][number]["graphs"] = [graph, large]
    yield "two resolutions", written(two), None, "a graph for each, in their order; one file may hold both"
    swapped = copy.deepcopy(two)
    swapped["components"][2]["graphs"].reverse()
    yield "graphs in another order", written(swapped), INCONSISTENT, "the order is that of the resolutions"
    shared = copy.deepcopy(two)
    shared["components"][2]["graphs"][1]["outputs"] = shared["components"][2]["graphs"][0]["outputs"]
    yield "a large graph of a small picture", written(shared), INCONSISTENT, "each has its own resolution's tensors"
    yield "golden output of a large picture", written(large_golden(15_124)), None, "every 13th of 196,608 numbers"
    yield "golden output of every 12th", written(large_golden(16_384)), INCONSISTENT, "12 divides 196,608"
    lacks = base()
    del lacks["components"][2]
    yield "no decoder", written(lacks), INCONSISTENT, "a whole bundle has three components"
    yield "no decoder, partial", written({**lacks, "partial": True}), None, "a partial one says so"
    empty = {**base(), "partial": True, "empty_prompt": None}
    yield "partial, no empty prompt", written(empty), None, "nothing is drawn with it"
    unsaid = base()
    del unsaid["empty_prompt"]
    yield "without the empty prompt", written(unsaid), INCONSISTENT, "left out is null"
    four = base()
    encoder = {"path": "image_encoder.onnx", "resolution": 4, "inputs": [IMAGE], "outputs": [LATENT]}
    four["components"].append(component("image_encoder", encoder, "decoder.onnx"))
    four["components"][3]["files"][0]["path"] = "image_encoder.onnx"
    yield "an image encoder", written(four), None, "the optional fourth"
    lost = base()
    lost["components"][0]["parity"].update(psnr_db=20.0, passed=False)
    lost["trajectory"].update(image_psnr_db=20.0, passed=False)
    yield "lost parity, and says so", written(lost), None, "an export may be allowed to"
    both = base()
    both["tokenizer"]["path"], both["latent"]["scale"] = "../a", 3
    yield "unsafe and contradicting", written(both), PATH, "paths are looked at first"


def checksums() -> Iterator[Case]:
    """The manifest's own."""
    good = written(small()).decode()
    digest = json.loads(good)["checksum"]
    other = digest[:-1] + ("0" if digest[-1] != "0" else "1")
    yield "first field", written({"checksum": ZEROS, **small()}), None, "wherever it stands"
    yield "checksum missing", without(("checksum",)), CHECKSUM, "not read without one"
    yield "checksum null", written({**small(), "checksum": None}), CHECKSUM, "not read without one"
    yield (
        "checksum of zeros",
        good.replace(digest, ZEROS).encode(),
        CHECKSUM,
        "that is what it counts as, not what it is",
    )
    yield "last digit", good.replace(digest, other).encode(), CHECKSUM, "another"
    yield "another preset", good.replace('"toy"', '"try"', 1).encode(), CHECKSUM, "altered after it was made"
    yield "a space more", good.replace(":", ": ", 1).encode(), CHECKSUM, "it is of bytes, not of values"
    yield "a line's end after it", (good + "\n").encode(), CHECKSUM, "the same"
    escaped = good.replace(digest, f"\\u{ord(digest[0]):04x}{digest[1:]}").encode()
    yield "an escaped digit", escaped, CHECKSUM, "its digits stand in the file as they are"
    yield "capitals", good.replace(digest, digest.upper()).encode(), UNREADABLE, "small letters alone"
    yield "63 digits", good.replace(digest, digest[1:]).encode(), UNREADABLE, "64"
    yield "checksum a number", good.replace(f'"{digest}"', "5").encode(), UNREADABLE, "text"
    for name, old, new, code in (
        ("unsafe path", '"tokenizer.json"', '"../kenizer.json"', PATH),
        ("contradiction", '"resolutions":[4]', '"resolutions":[6]', INCONSISTENT),
        ("unknown field", '"preset"', '"preseT"', UNREADABLE),
        ("version", '"format_version":5', '"format_version":9', VERSION),
    ):
        yield f"{name}, and the checksum is wrong", good.replace(old, new, 1).encode(), code, "the checksum comes last"


def record(case: Case) -> Record:
    """One entry: `text`, or `text_b64` where it is no UTF-8."""
    name, data, code, why = case
    try:
        content = {"text": data.decode()}
    except UnicodeDecodeError:
        content = {"text_b64": base64.b64encode(data).decode()}
    return {"name": name, "code": code, "why": why, **content}


def make() -> dict[str, Any]:
    """The content of manifests.json."""
    cases = [*texts(), *fields(), *contradictions(), *checksums()]
    names = [name for name, *_ in cases]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return {"cases": [record(case) for case in cases]}

"""files.json: what is said of a bundle whose files were changed after its manifest was written; by hand."""

import base64
from typing import Any

from manifest_base import FILES, base, written

Change = dict[str, Any]
Codes = tuple[str | None, str | None]
"""Of `lira-verify`'s checks `manifest`, `file`, `extra`, `parity`, the first that fails; and of opening the bundle."""

WEIGHTS, MANIFEST = "denoiser.mlpackage/Data/weights/weight.bin", "manifest.json"
EMPTY, LAST, GOLDEN = "decoder.onnx.data", "empty_prompt.f32", "golden-denoiser.f32"


def change(op: str, path: str, **more: Any) -> Change:
    """One change; docs/apps.md says what each does."""
    return {"op": op, "path": path, **more}


def both(code: str | None) -> Codes:
    """Verifying and opening say the same."""
    return code, code


def lost(component: int | None = None) -> Change:
    """Another manifest, right in itself, which says that a component lost parity; without one, the drawing."""
    record = base()
    if component is None:
        record["trajectory"].update(image_psnr_db=20.0, passed=False)
    else:
        record["components"][component]["parity"].update(psnr_db=20.0, passed=False)
    return change("write", MANIFEST, text=written(record).decode())


CASES: tuple[tuple[str, list[Change], Codes], ...] = (
    ("nothing changed", [], both(None)),
    *((f"without {path}", [change("delete", path)], both("missing")) for path in FILES),
    ("without the manifest", [change("delete", MANIFEST)], both("manifest_missing")),
    ("without a folder", [change("delete", "denoiser.mlpackage/Data")], both("missing")),
    ("without the whole package", [change("delete", "denoiser.mlpackage")], both("missing")),
    ("first byte", [change("flip", "tokenizer.json", offset=0)], both("wrong_sha256")),
    ("last byte", [change("flip", LAST, offset=307)], both("wrong_sha256")),
    ("a byte of the weights", [change("flip", WEIGHTS, offset=31)], both("wrong_sha256")),
    ("a byte of a golden output", [change("flip", GOLDEN, offset=5)], both("wrong_sha256")),
    ("flipped twice", [change("flip", LAST, offset=9), change("flip", LAST, offset=9)], both(None)),
    ("cut by one byte", [change("truncate", LAST, offset=307)], both("wrong_size")),
    ("cut to nothing", [change("truncate", "decoder.onnx", offset=0)], both("wrong_size")),
    ("longer by one byte", [change("append", "text_encoder.onnx")], both("wrong_size")),
    ("an empty file, longer by one", [change("append", EMPTY)], both("wrong_size")),
    ("longer, then as it was", [change("append", LAST), change("truncate", LAST, offset=308)], both(None)),
    (
        "the right size, the last byte another",
        [change("truncate", LAST, offset=307), change("append", LAST)],
        both("wrong_sha256"),
    ),
    ("the manifest's version", [change("flip", MANIFEST, offset=18)], both("manifest_version")),
    ("the manifest's first byte", [change("flip", MANIFEST, offset=0)], both("manifest_unreadable")),
    ("a byte in the manifest's preset", [change("flip", MANIFEST, offset=46)], both("manifest_checksum")),
    ("a manifest cut short", [change("truncate", MANIFEST, offset=500)], both("manifest_unreadable")),
    ("an empty manifest", [change("truncate", MANIFEST, offset=0)], both("manifest_unreadable")),
    ("a zero after the manifest", [change("append", MANIFEST)], both("manifest_unreadable")),
    ("a folder in place of a file", [change("directory", "decoder.onnx")], both("missing")),
    ("a folder in place of the manifest", [change("directory", MANIFEST)], both("manifest_missing")),
    ("a folder in place of an empty file", [change("directory", EMPTY)], both("missing")),
    ("a file too many", [change("add", "notes.txt")], ("extra", None)),
    ("a hidden file too many", [change("add", ".DS_Store")], ("extra", None)),
    ("a file too many in a package", [change("add", "denoiser.mlpackage/Data/more.bin")], ("extra", None)),
    ("a file in a folder too many", [change("add", "more/inner/a.bin")], ("extra", None)),
    ("an empty folder too many", [change("directory", "more")], ("extra", None)),
    ("an empty folder too many in a package", [change("directory", "denoiser.mlpackage/Data/more")], ("extra", None)),
    ("a signature, which may be there", [change("add", "manifest.json.sig")], both(None)),
    ("an empty folder in place of a signature", [change("directory", "manifest.json.sig")], ("extra", None)),
    ("a folder in place of a signature", [change("add", "manifest.json.sig/a.bin")], ("extra", None)),
    ("a signature elsewhere", [change("add", "denoiser.mlpackage/manifest.json.sig")], ("extra", None)),
    ("a manifest elsewhere", [change("add", "denoiser.mlpackage/manifest.json")], ("extra", None)),
    ("another case of a name", [change("add", "notes/Tokenizer.json")], ("extra", None)),
    ("a link to the right bytes outside", [change("link", "tokenizer.json", to="../outside.json")], both("link")),
    ("a link to the right bytes inside", [change("link", "decoder.onnx", to="moved.onnx")], both("link")),
    ("the weights behind a link", [change("link", WEIGHTS, to="../../../../outside.bin")], both("link")),
    ("a folder behind a link", [change("link", "denoiser.mlpackage/Data", to="../../outside")], both("link")),
    ("the package behind a link", [change("link", "denoiser.mlpackage", to="../outside.mlpackage")], both("link")),
    ("the manifest behind a link", [change("link", MANIFEST, to="../outside.json")], both("link")),
    ("a golden output behind a link", [change("link", GOLDEN, to="../outside.f32")], both("link")),
    ("the last file behind a link", [change("link", LAST, to="../outside.f32")], both("link")),
    ("a link too many, to nothing", [change("link", "more", to="../nowhere")], ("extra", None)),
    ("a link to nothing", [change("delete", LAST), change("link", LAST, to="nowhere")], both("link")),
    ("a link of the wrong size", [change("append", LAST), change("link", LAST, to="../outside.f32")], both("link")),
    ("wrong size before wrong bytes", [change("flip", LAST, offset=0), change("append", LAST)], both("wrong_size")),
    ("two files, the first counts", [change("delete", LAST), change("append", "tokenizer.json")], both("wrong_size")),
    (
        "a golden output before the next component",
        [change("delete", "text_encoder.onnx"), change("append", GOLDEN)],
        both("wrong_size"),
    ),
    ("a file before what is too many", [change("add", "a.txt"), change("flip", LAST, offset=0)], both("wrong_sha256")),
    ("a component that lost parity", [lost(1)], ("parity_lost", None)),
    ("a drawing that lost parity", [lost()], ("parity_lost", None)),
    (
        "what is too many before parity that is lost",
        [lost(0), change("add", "a.txt")],
        ("extra", None),
    ),
    (
        "a file before parity that is lost",
        [lost(), change("delete", LAST)],
        both("missing"),
    ),
    (
        "the manifest before its files",
        [change("delete", LAST), change("flip", MANIFEST, offset=46)],
        both("manifest_checksum"),
    ),
)
"""Name, changes, codes."""


def make() -> dict[str, Any]:
    """The content of files.json."""
    assert len({name for name, *_ in CASES}) == len(CASES)
    contents = {path: base64.b64encode(data).decode() for path, data in FILES.items()}
    return {
        "base": {"manifest": written(base()).decode(), "files": contents},
        "cases": [
            {"name": name, "change": changes, "code": code, "open_code": open_code}
            for name, changes, (code, open_code) in CASES
        ],
    }

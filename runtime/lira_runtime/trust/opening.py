"""How commands open a bundle that they are going to run."""

import json
import sys
from pathlib import Path

from lira_runtime.bundle import Bundle

NO_VERIFY_HELP = "Do not look at the SHA-256 of the bundle's files."


def open_to_run(path: Path, no_verify: bool, as_json: bool) -> Bundle:
    """Open a bundle; files whose SHA-256 was right before are not read again. Raises as `Bundle.open` does.

    no_verify: look at no SHA-256, and say so on stderr, with `as_json` as an object on one line.
    """
    bundle = Bundle.open(path, "skip" if no_verify else "known")
    if no_verify:
        files = list(bundle.manifest.files())
        size = sum(entry.bytes for entry in files)
        sentence = f"notice: --no-verify: the SHA-256 of {len(files)} files, {size / 1e6:.1f} MB, was not looked at"
        record = json.dumps({"event": "not_verified", "files": len(files), "bytes": size})
        print(record if as_json else sentence, file=sys.stderr, flush=True)
    return bundle

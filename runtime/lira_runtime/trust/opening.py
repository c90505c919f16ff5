"""How commands open a bundle that they are going to run."""

import hashlib
from pathlib import Path

from lira_runtime import events, manifest
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.say import say
from lira_runtime.trust.signed import Demand, check_signature

NO_VERIFY_HELP = "Do not look at the SHA-256 of the bundle's files."


def open_to_run(path: Path, no_verify: bool, as_json: bool, public_key: Path | None = None) -> Bundle:
    """Open a bundle; files whose SHA-256 was right before are not read again.

    no_verify: look at no SHA-256, and say so on stderr, with `as_json` as an event. public_key: whose
    signature the manifest must have. Raises as `Bundle.open` does, DamagedBundle where it is not signed so, and
    BadInput where the key cannot be read, or is given with `no_verify`: it would prove nothing.
    """
    if public_key is not None and no_verify:
        raise BadInput("--public-key proves nothing together with --no-verify: what is signed are the files' SHA-256.")
    bundle = Bundle.open(path, "skip" if no_verify else "known")
    if public_key is not None:
        data = manifest.read(path)
        signature = check_signature(path, data, Demand(public_key))
        if signature.failed or hashlib.sha256(data).hexdigest() != bundle.digest:
            said = signature.said if signature.failed else "its manifest has just changed."
            raise DamagedBundle(f"{path} is not to be trusted: {said}", signature.code or "wrong_signature")
    if no_verify:
        files = list(bundle.manifest.files())
        size = sum(entry.bytes for entry in files)
        if as_json:
            events.emit(events.NotVerified(files=len(files), bytes=size))
        else:
            sentence = f"notice: --no-verify: the SHA-256 of {len(files)} files, {size / 1e6:.1f} MB, was not looked at"
            say(sentence, err=True)
    return bundle

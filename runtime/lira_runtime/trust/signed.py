"""Whether a bundle's manifest carries the signature of a key, where one is named or asked for."""

import base64
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from lira_runtime.codes import Code
from lira_runtime.errors import BadInput
from lira_runtime.files import MANIFEST_NAME, SIGNATURE_NAME
from lira_runtime.trust.check import Check

SIGNATURE_BYTES = 64
MOST_BYTES = 1 << 16
"""Of a signature's file that are read."""
INSTALL = "cryptography is not installed, which checks signatures: pip install '.[sign]' -c constraints.txt."


@dataclass(frozen=True)
class Demand:
    """public_key: a PEM file whose signature there must be. required: there must be a signature, whoever's."""

    public_key: Path | None = None
    required: bool = False

    @property
    def made(self) -> bool:
        """Whether anything is demanded."""
        return self.public_key is not None or self.required


def check_signature(directory: Path, manifest: bytes, demand: Demand) -> Check:
    """The one check of a manifest's signature; manifest: its bytes.

    Raises BadInput where the key cannot be read, or the library is not installed that a key needs.
    """
    path = directory / SIGNATURE_NAME
    if demand.public_key is not None:
        key = key_module().read_public_key(demand.public_key)
    if path.is_symlink():
        return _failed("link", "it is a link, which may point outside of the bundle.")
    if not path.is_file():
        if demand.made:
            return _failed("unsigned", "the bundle is not signed.")
        return Check("signature", SIGNATURE_NAME, "not_checked", "unsigned", "the bundle is not signed.")
    with open(path, "rb") as file:
        signature = file.read(MOST_BYTES)
    if decoded(signature) is None:
        return _failed("wrong_signature", f"it does not hold {SIGNATURE_BYTES} bytes in base64.")
    if demand.public_key is None:
        said = "the bundle is signed; --public-key FILE says by whom it should be."
        return Check("signature", SIGNATURE_NAME, "not_checked", "no_key", said)
    if not key_module().is_signed_by(key, signature, manifest):
        return _failed("wrong_signature", f"it is not that of {demand.public_key} for this {MANIFEST_NAME}.")
    return Check("signature", SIGNATURE_NAME, said=f"by {demand.public_key}.")


def decoded(signature: bytes) -> bytes | None:
    """The Ed25519 signature that a file's content holds; None where it has not the form of one.

    It must be written as base64 is, with at most one newline after it: decoders leave some bits unread, and a file in
    which one of those has changed has changed.
    """
    written = signature.removesuffix(b"\n")
    try:
        found = base64.b64decode(written, validate=True)
    except ValueError:
        return None
    return found if len(found) == SIGNATURE_BYTES and base64.b64encode(found) == written else None


def _failed(code: Code, said: str) -> Check:
    return Check("signature", SIGNATURE_NAME, "failed", code, said)


def key_module() -> ModuleType:
    """What knows keys. Raises BadInput where its library is not installed."""
    try:
        from lira_runtime.trust import signature
    except ModuleNotFoundError as error:
        raise BadInput(INSTALL, "not_installed") from error
    return signature

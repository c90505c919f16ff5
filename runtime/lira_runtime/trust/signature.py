"""Ed25519 signatures of manifests, which name every other file by its SHA-256."""

import base64
import contextlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lira_runtime.errors import BadInput
from lira_runtime.files import SIGNATURE_NAME, atomic_write
from lira_runtime.trust.signed import decoded

MOST_BYTES = 1 << 16
"""Of a key's file that are read."""


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key in PEM. Raises BadInput where it is none."""
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{path} is not a public key in PEM, such as lira-sign --new-key writes.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BadInput(f"{path} is a public key, but not an Ed25519 one.")
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key in PEM without a passphrase. Raises BadInput where it is none."""
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except TypeError as error:
        raise BadInput(f"{path} is protected by a passphrase, which lira-sign does not ask for.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadInput(f"{path} is not a private key in PEM, such as lira-sign --new-key writes.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path} is a private key, but not an Ed25519 one.")
    return key


def public_beside(private: Path) -> Path:
    """Where the public key of a new private one goes."""
    return private.with_name(f"{private.stem}.pub{private.suffix or '.pem'}")


def make_keys(private: Path) -> Path:
    """Write a new pair: `private`, for its owner's eyes alone, and beside it the public key, whose path is returned.

    Raises BadInput where either file exists: a key is never replaced. Where writing fails neither is left.
    """
    public = public_beside(private)
    key = Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path in (private, public):
        if os.path.lexists(path):
            raise BadInput(f"{path} exists; a key is never replaced.")
    with contextlib.ExitStack() as undo:
        for path, data, mode in ((private, secret, 0o600), (public, shown, 0o644)):
            handle = _created(path, mode)
            undo.callback(path.unlink, missing_ok=True)
            with open(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        undo.pop_all()
    return public


def sign(manifest: bytes, key: Ed25519PrivateKey, directory: Path) -> Path:
    """Write the signature of a manifest's bytes beside it, in base64; returns its path."""
    goal = directory / SIGNATURE_NAME
    with atomic_write(goal) as part:
        part.write_bytes(base64.b64encode(key.sign(manifest)) + b"\n")
    return goal


def is_signed_by(key: Ed25519PublicKey, signature: bytes, manifest: bytes) -> bool:
    """Whether a signature file's content fits a manifest's bytes and a key."""
    given = decoded(signature)
    if given is None:
        return False
    try:
        key.verify(given, manifest)
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise BadInput(f"there is no key at {path}.")
    with open(path, "rb") as file:
        return file.read(MOST_BYTES)


def _created(path: Path, mode: int) -> int:
    """The handle of a file that no other process has created meanwhile, with its mode from the first moment on."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise BadInput(f"{path} exists; a key is never replaced.") from error

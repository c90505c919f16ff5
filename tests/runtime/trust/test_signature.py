"""`lira-sign`, and what `lira-verify` and `lira-generate` make of a signature that fits and of those that do not."""

import base64
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from forgery import Verify, failures, rewrite

from lira_runtime import cli
from lira_runtime.trust import opening, sign_cli
from lira_runtime.trust.signature import is_signed_by, read_public_key

SIGNATURE = "manifest.json.sig"
WITHOUT_LIBRARY = """
import sys
sys.modules["cryptography"] = None
from lira_runtime.trust.{command} import main
main()
"""


def run(main: object, *arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(each) for each in arguments])  # type: ignore[operator]
    return int(stop.value.code or 0)


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    """A private and a public key, made by `lira-sign --new-key`."""
    assert run(sign_cli.main, "--new-key", tmp_path / "key.pem") == 0
    assert "key.pub.pem" in capsys.readouterr().out
    return tmp_path / "key.pem", tmp_path / "key.pub.pem"


@pytest.fixture
def signed(toy_bundle: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(sign_cli.main, toy_bundle, "--key", keys[0]) == 0
    assert SIGNATURE in capsys.readouterr().out
    return toy_bundle


def test_the_signature_is_ed25519_over_the_manifests_bytes_in_base64(signed: Path, keys: tuple[Path, Path]) -> None:
    public = serialization.load_pem_public_key(keys[1].read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    signature = base64.b64decode((signed / SIGNATURE).read_bytes())
    public.verify(signature, (signed / "manifest.json").read_bytes())  # raises where it is another's


def test_a_private_key_is_its_owners_alone_and_no_key_is_replaced(
    keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    private, public = keys
    assert private.stat().st_mode & 0o777 == 0o600
    before = private.read_bytes(), public.read_bytes()
    assert run(sign_cli.main, "--new-key", private) == 2
    private.unlink()
    assert run(sign_cli.main, "--new-key", private) == 2, "its public key is still there"
    public.unlink()
    for link in (public, private):
        link.symlink_to(private.with_name("elsewhere"))
        assert run(sign_cli.main, "--new-key", private) == 2
        link.unlink()
        assert not private.exists() and not public.exists(), "half a pair"
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4 and all("a key is never replaced" in line for line in errors)
    assert before[0] != before[1] and not private.with_name("elsewhere").exists()


def test_a_key_that_another_process_writes_at_that_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.pem").write_text("theirs")
    monkeypatch.setattr(os.path, "lexists", lambda path: False)  # as it was a moment ago
    assert run(sign_cli.main, "--new-key", tmp_path / "key.pem") == 2
    assert (tmp_path / "key.pem").read_text() == "theirs" and os.listdir(tmp_path) == ["key.pem"]


@pytest.mark.parametrize("fails_at", [1, 2], ids=["the private key", "the public key"])
def test_keys_that_cannot_be_written_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails_at: int
) -> None:
    honest, synced = os.fsync, list[int]()

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) == fails_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        honest(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert run(sign_cli.main, "--new-key", tmp_path / "key.pem") == 2
    assert "nothing was left half written" in capsys.readouterr().err and os.listdir(tmp_path) == []
    assert run(sign_cli.main, "--new-key", tmp_path / "key.pem") == 0


@pytest.mark.parametrize("place", ["key.pem", "deeper/key.pem"])
def test_no_secret_is_put_into_a_bundle(
    toy_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (toy_bundle / "deeper").mkdir()
    (tmp_path / "way").symlink_to(toy_bundle)
    for bundle in (toy_bundle, tmp_path / "way"):
        assert run(sign_cli.main, "--new-key", bundle / place) == 2
        assert "lies in the bundle" in capsys.readouterr().err
    monkeypatch.chdir(toy_bundle / "deeper")
    assert run(sign_cli.main, "--new-key", "key.pem") == 2
    assert not list(toy_bundle.rglob("*.pem"))


def test_a_signed_bundle_passes_with_its_key_and_says_so_without(
    signed: Path, keys: tuple[Path, Path], verify: Verify
) -> None:
    code, checks, _ = verify(signed, "--public-key", keys[1], "--require-signature")
    assert code == 0 and [each["status"] for each in checks if each["check"] == "signature"] == ["ok"]
    code, checks, _ = verify(signed)
    assert code == 0 and [each["code"] for each in checks if each["check"] == "signature"] == ["no_key"]
    code, _, sentence = verify(signed, "--require-signature")
    assert code == 2 and "--public-key FILE says by whom" in sentence, "a signature of nobody knows whom is no proof"


@pytest.mark.parametrize("flags", [["--require-signature"], ["--public-key"], ["--public-key", "--require-signature"]])
def test_a_bundle_without_a_signature_fails_where_one_is_asked_for(
    toy_bundle: Path, keys: tuple[Path, Path], verify: Verify, flags: list[str]
) -> None:
    given = [part for flag in flags for part in ([flag, keys[1]] if flag == "--public-key" else [flag])]
    code, checks, _ = verify(toy_bundle, *given)
    assert code == 5 and failures(checks) == [("signature", SIGNATURE, "unsigned")]
    assert verify(toy_bundle)[0] == 0


def test_another_key_a_changed_manifest_and_garbage_are_found(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path, verify: Verify
) -> None:
    wrong = [("signature", SIGNATURE, "wrong_signature")]
    assert run(sign_cli.main, "--new-key", tmp_path / "other.pem") == 0
    assert failures(verify(signed, "--public-key", tmp_path / "other.pub.pem")[1]) == wrong
    whole = (signed / SIGNATURE).read_bytes()
    flipped = bytearray(base64.b64decode(whole))
    flipped[5] ^= 1
    for garbage in (
        b"",
        b"\xff" * 88,
        whole[:-9],
        base64.b64encode(flipped),
        whole.strip() + b"AAAA",
        b"A" * 100_000,
        whole + b"\n",
    ):
        (signed / SIGNATURE).write_bytes(garbage)
        assert failures(verify(signed, "--public-key", keys[1])[1]) == wrong, garbage[:20]
    (signed / SIGNATURE).write_bytes(whole)
    assert failures(verify(signed, "--public-key", keys[1])[1]) == []
    rewrite(signed, lambda manifest: msgspec.structs.replace(manifest, preset="other"))
    assert failures(verify(signed, "--public-key", keys[1])[1]) == wrong


@pytest.mark.parametrize("content", [b"", b"AAAA\n", b"\xff" * 88, base64.b64encode(bytes(65)), b"A" * 85 + b"B=="])
def test_what_has_not_the_form_of_a_signature_is_found_without_a_key(
    toy_bundle: Path, verify: Verify, content: bytes
) -> None:
    (toy_bundle / SIGNATURE).write_bytes(base64.b64encode(bytes(64)) + b"\n")
    assert verify(toy_bundle)[0] == 0, "whose it is only a key tells"
    (toy_bundle / SIGNATURE).write_bytes(content)
    for flags in ([], ["--require-signature"]):
        code, checks, _ = verify(toy_bundle, *flags)
        assert code == 5 and failures(checks) == [("signature", SIGNATURE, "wrong_signature")]


def test_any_flipped_bit_of_a_signatures_file_is_found(signed: Path, keys: tuple[Path, Path]) -> None:
    """Also those of the last digit and of the newline that no decoder reads."""
    key, manifest, whole = (
        read_public_key(keys[1]),
        (signed / "manifest.json").read_bytes(),
        (signed / SIGNATURE).read_bytes(),
    )
    assert is_signed_by(key, whole, manifest) and is_signed_by(key, whole.strip(), manifest)
    for at in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[at // 8] ^= 1 << at % 8
        assert not is_signed_by(key, bytes(flipped), manifest), at


def test_a_signature_that_is_a_link_is_not_followed(signed: Path, keys: tuple[Path, Path], verify: Verify) -> None:
    (signed / SIGNATURE).rename(signed.parent / "away")
    (signed / SIGNATURE).symlink_to(signed.parent / "away")
    assert failures(verify(signed, "--public-key", keys[1])[1]) == [("signature", SIGNATURE, "link")]


def test_lira_generate_draws_only_what_the_key_signed(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def generate(*flags: str | Path) -> int:
        return run(cli.main, signed, "a cat", "--steps", "1", "--out", tmp_path / "a.png", "--public-key", *flags)

    assert generate(keys[1]) == 0
    assert generate(keys[1], "--no-verify") == 2
    (tmp_path / "a.png").unlink()
    rewrite(signed, lambda manifest: msgspec.structs.replace(manifest, preset="other"))
    capsys.readouterr()
    assert generate(keys[1]) == 5 and not (tmp_path / "a.png").exists()
    assert "is not to be trusted: it is not that of" in capsys.readouterr().err


def test_what_is_drawn_is_what_was_signed_even_where_the_manifest_changes_in_between(
    signed: Path,
    keys: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The bundle is opened with another manifest, and the signed one is back before its signature is looked at."""
    whole = (signed / "manifest.json").read_bytes()
    rewrite(signed, lambda manifest: msgspec.structs.replace(manifest, preset="other"))
    monkeypatch.setattr(opening, "manifest", SimpleNamespace(read=lambda path: whole))
    arguments = ("a cat", "--steps", "1", "--out", tmp_path / "a.png", "--public-key", keys[1])
    assert run(cli.main, signed, *arguments) == 5 and not (tmp_path / "a.png").exists()
    assert "its manifest has just changed" in capsys.readouterr().err


def test_what_is_no_ed25519_key_is_bad_input(
    toy_bundle: Path, keys: tuple[Path, Path], tmp_path: Path, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    pem, none = serialization.Encoding.PEM, serialization.NoEncryption()
    spki, pkcs8 = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.PrivateFormat.PKCS8
    (tmp_path / "ec.pub.pem").write_bytes(curve.public_key().public_bytes(pem, spki))
    (tmp_path / "ec.pem").write_bytes(curve.private_bytes(pem, pkcs8, none))
    locked = curve.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.pem").write_bytes(locked)
    (tmp_path / "garbage.pem").write_bytes(b"\xff\x00garbage")
    for name in ("none.pem", "garbage.pem", "ec.pub.pem", "key.pem"):
        assert verify(toy_bundle, "--public-key", tmp_path / name)[0] == 2, name
    for name in ("none.pem", "garbage.pem", "ec.pem", "locked.pem", "key.pub.pem"):
        assert run(sign_cli.main, toy_bundle, "--key", tmp_path / name) == 2, name
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (toy_bundle / SIGNATURE).exists()


def test_a_damaged_bundle_is_not_signed_and_half_an_order_is_bad_input(
    toy_bundle: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    for arguments in ([], [toy_bundle], ["--key", keys[0]], [toy_bundle, "--new-key", tmp_path / "new.pem"]):
        assert run(sign_cli.main, *arguments) == 2
    (toy_bundle / "decoder.onnx").unlink()
    assert run(sign_cli.main, toy_bundle, "--key", keys[0]) == 5 and not (toy_bundle / SIGNATURE).exists()


@pytest.mark.parametrize("command", ["cli", "sign_cli"])
def test_without_the_library_the_extra_is_named(toy_bundle: Path, keys: tuple[Path, Path], command: str) -> None:
    flags = ["--public-key", str(keys[1])] if command == "cli" else ["--key", str(keys[0])]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARY.format(command=command), str(toy_bundle), *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "runtime")},
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "pip install '.[sign]'" in done.stderr

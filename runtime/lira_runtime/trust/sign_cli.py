"""`lira-sign`: sign a bundle's manifest, or make the keys for it."""

from pathlib import Path
from typing import Literal

import click

from lira_runtime import events, manifest
from lira_runtime.bundle import Bundle
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_bundle
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, cli_guard
from lira_runtime.files import MANIFEST_NAME, check_outputs
from lira_runtime.say import say
from lira_runtime.trust.signed import key_module

FILE = click.Path(path_type=Path)


class Signed(events.Result, frozen=True, kw_only=True, tag="result"):
    """The files that were written: a signature, or a private and a public key."""

    command: Literal["lira-sign"] = "lira-sign"
    files: tuple[str, ...]


@cli_guard
@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", metavar="[BUNDLE]", required=False, type=FILE, shell_complete=complete_bundle)
@click.option("--key", type=FILE, help="Private Ed25519 key, in PEM, to sign BUNDLE with.")
@click.option(
    "--new-key", type=FILE, help="Private key to make, and beside it the public one; neither replaces a file."
)
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
@version_option("lira-sign")
def main(bundle_path: Path | None, key: Path | None, new_key: Path | None, as_json: bool) -> None:
    """Sign the bundle in the directory BUNDLE, after a check of every file: writes manifest.json.sig into it."""
    keys = key_module()
    written: tuple[Path, ...]
    if new_key is not None and bundle_path is None and key is None:
        bundles = [folder for folder in new_key.resolve().parents if (folder / MANIFEST_NAME).is_file()]
        check_outputs([new_key, keys.public_beside(new_key)], bundles)  # a secret does not travel with a bundle
        public = keys.make_keys(new_key)
        written, said = (
            (new_key, public),
            f"{new_key}, which must stay secret, and {public}, which checks what it signs",
        )
    elif bundle_path is not None and key is not None and new_key is None:
        secret = keys.read_private_key(key)
        data = manifest.read(Bundle.open(bundle_path).path)
        written = (keys.sign(data, secret, bundle_path),)
        said = str(written[0])
    else:
        raise BadInput("lira-sign takes a bundle and --key FILE, or --new-key FILE alone.")
    if as_json:
        events.emit(Signed(files=tuple(map(str, written))))
    else:
        say(f"wrote {said}")


if __name__ == "__main__":
    main()

"""`lira-verify`: did a bundle arrive whole, and is it what it says?"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from lira_runtime.errors import EXIT_CODES_HELP, BadInput, DamagedBundle, cli_guard
from lira_runtime.files import MANIFEST_NAME, sha256_of
from lira_runtime.trust.check import Check
from lira_runtime.trust.signed import Demand
from lira_runtime.trust.verify import Asked, verify


@cli_guard
@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("--deep", is_flag=True, help="Run every graph, and compare with the outputs stored at export.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Repeat parity with the eager model of these weights; demo or seed: those that the manifest names.",
)
@click.option("--public-key", type=click.Path(path_type=Path), help="Key, in PEM, that must have signed the manifest.")
@click.option("--require-signature", is_flag=True, help="Fail where the bundle is not signed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def main(
    bundle_path: Path,
    deep: bool,
    checkpoint: str | None,
    public_key: Path | None,
    require_signature: bool,
    as_json: bool,
) -> None:
    """Check the bundle in the directory BUNDLE: every file, every graph, and on request what it computes."""
    if not bundle_path.is_dir():
        raise BadInput(f"there is no bundle at {bundle_path}: a bundle is a directory.")
    asked, checks = Asked(deep, checkpoint, Demand(public_key, require_signature)), list[Check]()
    for check in verify(bundle_path, asked):
        checks.append(check)
        if not as_json:
            print(check.line(), flush=True)
    found = Counter(check.status for check in checks)
    counts = f"{found['ok']} ok, {found['failed']} failed, {found['not_checked']} not checked here"
    print(_json(bundle_path, checks) if as_json else f"{bundle_path}: {counts}", flush=True)
    if found["failed"]:
        raise DamagedBundle(f"{bundle_path} is damaged or not to be trusted: {found['failed']} checks failed.")
    left_out = [check for check in checks if check.status == "not_checked" and check.check in asked.checks]
    if left_out:
        raise BadInput(f"{left_out[0].subject}: the {left_out[0].check} check cannot be made here: {left_out[0].said}")


def _json(path: Path, checks: Sequence[Check]) -> str:
    manifest = path / MANIFEST_NAME
    result = {
        "bundle": str(path),
        "digest": sha256_of(manifest) if manifest.is_file() else None,
        "ok": not any(check.failed for check in checks),
        "checks": msgspec.to_builtins(checks),
    }
    return json.dumps(result)


if __name__ == "__main__":
    main()

"""`lira-verify`: did a bundle arrive whole, and is it what it says?"""

from collections import Counter
from pathlib import Path
from typing import Literal

import click

from lira_runtime import events
from lira_runtime.commands import version_option
from lira_runtime.completion import complete_bundle
from lira_runtime.errors import EXIT_CODES_HELP, BadInput, DamagedBundle, cli_guard
from lira_runtime.files import check_unicode_name
from lira_runtime.say import say
from lira_runtime.trust.check import Check
from lira_runtime.trust.signed import Demand
from lira_runtime.trust.verify import Asked, verify


class Verified(events.Result, frozen=True, kw_only=True, tag="result"):
    """Whether nothing is wrong, as far as was checked; digest: SHA-256 of the manifest, where it is right."""

    command: Literal["lira-verify"] = "lira-verify"
    bundle: str
    digest: str | None
    ok: bool
    passed: int
    failed: int
    not_checked: int


@cli_guard
@click.command(epilog=EXIT_CODES_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path), shell_complete=complete_bundle)
@click.option("--deep", is_flag=True, help="Run every graph, and compare with the outputs stored at export.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Repeat parity with the eager model of these weights; demo or seed: those that the manifest names.",
)
@click.option("--public-key", type=click.Path(path_type=Path), help="Key, in PEM, that must have signed the manifest.")
@click.option("--require-signature", is_flag=True, help="Fail where the bundle is not signed.")
@click.option("--json", "as_json", is_flag=True, help=events.JSON_HELP)
@version_option("lira-verify")
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
        raise BadInput(f"there is no bundle at {bundle_path}: a bundle is a directory.", "no_bundle")
    check_unicode_name(bundle_path)
    asked, checks = Asked(deep, checkpoint, Demand(public_key, require_signature)), list[Check]()
    for check in verify(bundle_path, asked):
        checks.append(check)
        if as_json:
            events.emit(_event(check))
        else:
            say(check.line())
    found = Counter[str](check.status for check in checks)
    if as_json:
        events.emit(_result(bundle_path, checks[0].digest, found))
    else:
        counts = f"{found['ok']} ok, {found['failed']} failed, {found['not_checked']} not checked here"
        say(f"{bundle_path}: {counts}")
    if found["failed"]:
        raise DamagedBundle(f"{bundle_path} is damaged or not to be trusted: {found['failed']} checks failed.")
    left_out = [check for check in checks if check.status == "not_checked" and check.check in asked.checks]
    if left_out:
        first = left_out[0]
        sentence = f"{first.subject}: the {first.check} check cannot be made here: {first.said}"
        raise BadInput(sentence, "not_checked")


def _event(check: Check) -> events.Checked:
    return events.Checked(
        check=check.check, subject=check.subject, status=check.status, code=check.code, said=check.said
    )


def _result(path: Path, digest: str | None, found: Counter[str]) -> Verified:
    return Verified(
        bundle=str(path),
        digest=digest,
        ok=not found["failed"],
        passed=found["ok"],
        failed=found["failed"],
        not_checked=found["not_checked"],
    )


if __name__ == "__main__":
    main()

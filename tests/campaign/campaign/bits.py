"""One flipped bit anywhere in any file of a signed bundle: `lira-verify` names the file that has it, and no other."""

import shutil
import tempfile
from pathlib import Path
from random import Random

from campaign.bundles import MANIFEST, SIGNATURE, files_of, link_tree, put, signed_toy
from campaign.sandbox import Ended, Yard, call, events, run, settle
from campaign.tally import Tally


def flipped(count: int, seed: int, only: int | None = None) -> Tally:
    """Every file is as likely as every other, and every bit of it."""
    import lira_export.verify  # noqa: F401
    from lira_runtime.trust.cli import main as verify

    tally = Tally("flipped bits")
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        sound, public = signed_toy(Path(folder))
        settle()
        yard, names = Yard(Path(folder) / "yard"), files_of(sound)
        for case in range(count) if only is None else [only]:
            random, name = Random(f"{seed} bits {case}"), names[case % len(names)]
            shutil.rmtree(yard.place, ignore_errors=True)
            yard.make()
            link_tree(sound, yard.bundle)
            data = bytearray((sound / name).read_bytes())
            at = random.randrange(8 * len(data))
            data[at // 8] ^= 1 << at % 8
            put(yard.bundle / name, bytes(data))
            ended = run(call(verify, yard.bundle, "--json", "--public-key", public), yard)
            if fault := _fault(ended, name):
                tally.blame(f"case {case}: bit {at} of {name}: {fault}")
            else:
                tally.count("refused")
    return tally


def _fault(ended: Ended, name: str) -> str | None:
    if ended.fault() or ended.code != 5:
        return ended.fault() or f"lira-verify ended with {ended.code}"
    kind = {MANIFEST: "manifest", SIGNATURE: "signature"}.get(name, "file")
    checks = [each for each in events(ended.out) if each["event"] == "check"]
    found = [(each["check"], each["subject"]) for each in checks if each["status"] == "failed"]
    return None if found == [(kind, name)] else f"lira-verify blames {found}"

"""Bundles that are damaged or forged, against `lira-verify`, `lira-generate` and `lira-profile`."""

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from campaign.bundles import MANIFEST, link_tree, right_manifest, signed_toy
from campaign.damage import DAMAGES
from campaign.forge import FORGERIES, Forgery
from campaign.light import Light
from campaign.sandbox import Ended, Yard, call, events, run, settle
from campaign.tally import Tally

DAMAGED_CODE = 5


@dataclass(frozen=True)
class Ground:
    """What cases are made from: the yard, the sound bundle, and the key that signed it; and who draws and profiles."""

    light: Light
    yard: Yard
    sound: Path
    public: Path


def damaged(count: int, seed: int, only: int | None = None) -> Tally:
    """Accidents: every command must refuse every one."""
    return _class("damaged files", DAMAGES, _judge_damaged, count, seed, only)


def forged(count: int, seed: int, only: int | None = None) -> Tally:
    """Forgeries: a command may take what is a right bundle by our own reading; the signature's key takes none."""
    return _class("forged files", FORGERIES, _judge_forged, count, seed, only)


def _class(name: str, kinds: Mapping[str, Forgery], judge: Any, count: int, seed: int, only: int | None) -> Tally:
    tally, order = Tally(name), list(kinds)
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        ground = _ground(Path(folder))
        for case in range(count) if only is None else [only]:
            random, kind = Random(f"{seed} {name} {case}"), order[case % len(order)]
            _lay(ground)
            note = kinds[kind](random, ground.yard.bundle)
            fault, accepted = judge(ground, random)
            if fault:
                tally.blame(f"case {case}, {kind}: {note}: {fault}")
            else:
                tally.count("accepted" if accepted else "refused")
    return tally


def _ground(folder: Path) -> Ground:
    light = Light()
    import lira_export.verify  # noqa: F401  everything that a child would have to import
    import lira_runtime.trust.cli  # noqa: F401

    sound, public = signed_toy(folder)
    settle()
    yard = Yard(folder / "yard")
    ground = Ground(light, yard, sound, public)
    _lay(ground)
    for what, ended in _commands(ground).items():
        if ended.code or ended.fault():
            raise RuntimeError(f"{what} of a sound bundle: {ended}")
    return ground


def _lay(ground: Ground) -> None:
    """Put a sound bundle into an empty yard."""
    place = ground.yard.place
    shutil.rmtree(place, ignore_errors=True)
    ground.yard.make()
    link_tree(ground.sound, ground.yard.bundle)


def _commands(ground: Ground, deep: bool = False) -> dict[str, Ended]:
    """What the three commands make of the bundle in the yard."""
    from lira_runtime.trust.cli import main as verify

    yard, light = ground.yard, ground.light
    picture = ("a cat", "--out", yard.out / "a.png", "--steps", "2", "--threads", "1", "--json")
    return {
        "verify": run(call(verify, yard.bundle, "--json", *(["--deep"] if deep else [])), yard),
        "generate": light.run("generate", yard, yard.bundle, *picture),
        "profile": light.run("profile", yard, yard.bundle, "--threads", "1", "--json"),
    }


def _judge_damaged(ground: Ground, random: Random) -> tuple[str | None, bool]:
    for what, ended in _commands(ground).items():
        fault = ended.fault() or _no_json(ended)
        if not fault and ended.code != DAMAGED_CODE:
            fault = f"it ended with {ended.code}: {ended.err[-200:]!r}"
        if fault:
            return f"{what}: {fault}", False
    return ("something was drawn" if list(ground.yard.out.iterdir()) else None), False


def _judge_forged(ground: Ground, random: Random) -> tuple[str | None, bool]:
    found = _commands(ground, deep=random.random() < 0.5)
    for what, ended in found.items():
        fault = ended.fault() or _no_json(ended) or (_wrongly_taken(ground, what) if ended.code == 0 else None)
        if fault:
            return f"{what}: {fault}", False
    if found["generate"].code and list(ground.yard.out.iterdir()):
        return "generate: it failed and left something", False
    accepted = any(ended.code == 0 for ended in found.values())
    if accepted:
        picture = ("a cat", "--out", ground.yard.out / "b.png", "--threads", "1", "--public-key", ground.public)
        ended = ground.light.run("generate", ground.yard, ground.yard.bundle, *picture)
        unchanged = _sha256(ground.yard.bundle / MANIFEST) == _sha256(ground.sound / MANIFEST)
        if ended.fault() or ended.code != (0 if unchanged else DAMAGED_CODE):
            return f"generate --public-key: {ended.fault() or ended.code}", False
    return None, accepted


def _no_json(ended: Ended) -> str | None:
    """What is on stdout beside events, of which the last one says how it ended."""
    try:
        found = [each["event"] for each in events(ended.out)]
    except (ValueError, KeyError, TypeError):
        found = []
    if found[-1:] != ["error" if ended.code else "result"]:
        return f"it said {ended.out[:300]!r} to programs"
    return None


def _wrongly_taken(ground: Ground, what: str) -> str | None:
    """What is wrong about a command's success; None where it is right."""
    right = right_manifest(ground.yard.bundle, exact=what == "verify")
    if right is None:
        return "it took what is no right bundle"
    if what != "generate":
        return None
    with Image.open(ground.yard.out / "a.png") as image:
        image.load()
        side, digest = right["resolutions"][0], _sha256(ground.yard.bundle / MANIFEST)
        if (image.size, image.mode, image.info["bundle"]) != ((side, side), "RGB", digest):
            return f"it drew {image.size} {image.mode} for {side} px"
    return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

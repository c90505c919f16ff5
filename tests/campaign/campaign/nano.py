"""`lira-export` of the demo itself, as a user starts it, killed on its way from one recipe to another."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from campaign.aftermath import Wrong, check_left, events
from campaign.bundles import right_manifest
from campaign.sandbox import Yard
from campaign.tally import Tally

OLD, NEW = "int8", "fp16"
SECONDS = 900.0


def killed(count: int, seed: int, only: int | None = None) -> Tally:
    """SIGKILL at random moments of a whole export; then the same command again."""
    tally = Tally("kill -9 of nano's export")
    with tempfile.TemporaryDirectory(prefix="lira-campaign-") as folder:
        yard = Yard(Path(folder))
        yard.make()
        _export(yard, OLD)
        begun = time.monotonic()
        _export(yard, NEW)
        duration, recipe = time.monotonic() - begun, NEW
        tally.notes.append(f"an export takes {duration:.0f} s")
        for case in range(count) if only is None else [only]:
            other, moment = OLD if recipe == NEW else NEW, Random(f"{seed} nano {case}").uniform(0, duration)
            try:
                found = _stopped(yard, recipe, other, moment)
                tally.count("accepted" if found == other else "refused")
            except Wrong as wrong:
                tally.blame(f"case {case}, at {moment:.1f} s of {duration:.0f}: {wrong}")
            recipe = other
    return tally


def _stopped(yard: Yard, before: str, wanted: str, moment: float) -> str:
    process = subprocess.Popen(_command(yard, wanted), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told, said = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        told, said = process.communicate()
    found = _recipe(yard)
    if found not in (before, wanted) or "Traceback" in said:
        raise Wrong(f"the bundle is of {found}: {said[-300:]}")
    check_left(yard)
    finished = {name for name, _ in events(told)}
    taken = events(_export(yard, wanted))
    if not finished <= {name for name, reused in taken if reused}:
        raise Wrong(f"{sorted(finished)} were finished, but the next export took {taken}")
    left = sorted(path.name for path in yard.out.iterdir())
    if _recipe(yard) != wanted or left != ["bundle", "bundle-drift.png"]:
        raise Wrong(f"the next export left {left}, of {_recipe(yard)}")
    return found


def _command(yard: Yard, recipe: str) -> list[str]:
    asked = ["--target", "onnx", "--config", "nano", "--recipe", recipe, "--out", str(yard.out / "bundle")]
    return [sys.executable, "-m", "lira_export.cli", *asked, "--overwrite", "--json"]


def _export(yard: Yard, recipe: str) -> str:
    """Raises Wrong where it fails."""
    done = subprocess.run(_command(yard, recipe), capture_output=True, text=True, timeout=SECONDS)
    if done.returncode:
        raise Wrong(f"the next export ended with {done.returncode}: {done.stderr[-300:]}")
    return done.stdout


def _recipe(yard: Yard) -> str:
    """Of the whole bundle that is there. Raises Wrong where there is none, or one of several recipes."""
    record: dict[str, Any] | None = right_manifest(yard.out / "bundle")
    recipes = {each["recipe"] for each in record["components"]} if record else set()
    if len(recipes) != 1:
        raise Wrong(f"there is no whole bundle of one recipe, but {recipes}")
    return str(recipes.pop())

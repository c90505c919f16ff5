"""`lira-export` of a model of one block, so fast that it can be killed hundreds of times.

One bundle is made by the honest command. Later exports, over the toy bundle, take what the converter wrote then and
what memory was, and do all the rest themselves: keys, files, parity, golden runs, drawings, plot, manifest, swap.
"""

import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from campaign.bundles import in_child, signed_toy
from campaign.sandbox import Command, Yard, settle

OLD, NEW = "old", "new"
SEED, SIDE, STEPS = 4, 32, 2
READY = "LIRA_CAMPAIGN_RIG"
"""Environment variable: a folder with the new bundle and its plot, where somebody has made it before."""
SECONDS = 60.0
"""More than an export takes here, however busy the machine is."""
PIECE = 1 << 16
"""Bytes that are written at once."""
COMPONENTS = ("denoiser", "text_encoder", "decoder")
"""In the order in which they are made."""


@dataclass(frozen=True)
class Rig:
    """The two bundles."""

    bundles: dict[str, Path]

    def export(self, yard: Yard, *more: str) -> Command:
        """`lira-export` of the new bundle into the yard's output, to be run in a child."""
        from lira_export import cli

        def command() -> object:
            sys.argv = ["lira-export", *_arguments(yard.out / "bundle"), *more]
            return cli.main()

        return command

    def lay(self, yard: Yard, keep: bool = False) -> None:
        """An empty yard but for the old bundle, as an export leaves it. keep: put that into the yard that is there."""
        if not keep:
            shutil.rmtree(yard.place, ignore_errors=True)
            yard.make()
        shutil.copytree(self.bundles[OLD], yard.out / "bundle")
        shutil.copy(f"{self.bundles[NEW]}-drift.png", yard.out / "bundle-drift.png")


def make_rig(folder: Path) -> Rig:
    """Make the two bundles, and have exports in children of this process take what the new one came to."""
    from lira_export.digests import code_digest

    begin_with_mite()
    ready = Path(os.environ.get(READY, folder))
    rig = Rig({OLD: folder / "toy", NEW: ready / NEW})
    folder.mkdir(parents=True, exist_ok=True)
    settle()
    signed_toy(folder)
    if not rig.bundles[NEW].is_dir():
        in_child(lambda: first_export(rig.bundles[NEW]))
    _take_from(rig)
    code_digest()  # once: nobody who edits the code meanwhile makes what is kept another's
    settle()
    return rig


def begin_with_mite() -> None:
    """Import what exports need, and have them know the smallest preset, and draw in few steps."""
    from mite import MITE

    from lira import sources
    from lira.presets import PRESETS
    from lira_export import bundle, drift_plot, kept, planning  # noqa: F401  what a child would have to import

    PRESETS[MITE.name] = MITE
    honest, few = sources._from_seed, msgspec.structs.replace(sources.USUAL_SAMPLER, steps=STEPS)
    sources._from_seed = lambda *asked: replace(honest(*asked), sampler=few)


def first_export(goal: Path) -> None:
    """Export by the honest command."""
    from lira_export import cli

    sys.argv = ["lira-export", *_arguments(goal)]
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        cli.main()


def _arguments(out: Path) -> list[str]:
    names = ["--target", "onnx", "--config", "mite", "--latent", "f8c4", "--text-encoder", "demo"]
    return [*names, "--resolution", str(SIDE), "--seed", str(SEED), "--out", str(out)]


def _take_from(rig: Rig) -> None:
    """Have exports copy what the converter wrote, and believe what was measured then; models are built here, once."""
    from lira import sources
    from lira.latents import latent_kind
    from lira.sources import Request
    from lira_export import gates, references
    from lira_export.onnx.target import OnnxTarget
    from lira_export.target import Job, Written
    from lira_runtime import manifest
    from lira_runtime.loaded import StageRun

    request = Request("mite", latent="f8c4", resolution=SIDE, text_encoder="demo", seed=SEED)
    models = sources._from_seed(request, latent_kind("f8c4"), "demo", SIDE)
    sources._from_seed = lambda *asked: models
    shared = references.References(models, (SIDE,))
    for component in COMPONENTS:
        shared.samples(component)
        shared.digest(component)
    references.References = lambda own, sides: shared  # type: ignore[assignment, misc]
    entries = {each.name: each for each in manifest.load(rig.bundles[NEW]).components}

    def write(self: OnnxTarget, job: Job) -> Written:
        entry = entries[job.name]  # type: ignore[index]
        graphs = tuple(msgspec.structs.replace(graph, memory=None, golden=None) for graph in entry.graphs)
        for file in entry.files:
            _copy_slowly(rig.bundles[NEW] / file.path, job.folder / file.path)
        return Written(graphs, tuple(job.folder / file.path for file in entry.files), entry.parity.float32_max_abs)

    OnnxTarget.write = write  # type: ignore[method-assign]
    gates.run_stage = lambda *asked: StageRun(0, 1, 1, 7, 1, 0, 0)


def _copy_slowly(source: Path, goal: Path) -> None:
    with open(source, "rb") as read, open(goal, "wb", buffering=0) as written:
        while piece := read.read(PIECE):
            written.write(piece)


if __name__ == "__main__":
    begin_with_mite()
    first_export(Path(sys.argv[1]) / NEW)

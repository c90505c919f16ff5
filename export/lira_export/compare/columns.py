"""What is compared: bundles that can draw the same thing, and the eager model beside them."""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lira_runtime.backends.choose import backend_for
from lira_runtime.backends.protocol import Backend
from lira_runtime.backends.session import SessionSettings
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput
from lira_runtime.manifest import TargetName

EAGER = "eager"
ENGINES = {
    "onnx": "onnxruntime",
    "tflite": "LiteRT with XNNPACK",
    "coreml": "Core ML",
    EAGER: "PyTorch, float32: seconds and memory are not a phone's",
}
INTERPRETED = "arithmetic only, executed op by op on this machine: seconds and memory are not a phone's"
"""Of Core ML where Apple's frameworks are missing."""


@dataclass(frozen=True)
class Column:
    """One that draws: a bundle, or where `eager` is set the models that the bundle was exported from.

    checkpoint: where those models' weights lie; None for committed ones and those from a seed.
    """

    name: str
    bundle: Bundle
    eager: bool = False
    checkpoint: Path | None = None

    @property
    def engine(self) -> str:
        """What computes, for people."""
        if self.eager:
            return ENGINES[EAGER]
        target = self.bundle.manifest.target
        return INTERPRETED if target == "coreml" and sys.platform != "darwin" else ENGINES[target]


def open_columns(paths: Sequence[Path], eager: bool, checkpoint: Path | None) -> list[Column]:
    """Open bundles, the eager model of the first one before them where it is asked for.

    Raises:
        BadInput: there is nothing to compare, or a bundle has another preset or latent than the first.
        DamagedBundle: as Bundle.open does.
    """
    if len(paths) + eager < 2:
        raise BadInput("there is nothing to compare: name two bundles, or one and --eager.")
    if checkpoint is not None and not eager:
        raise BadInput("--checkpoint belongs to --eager; a bundle has its own weights.")
    bundles = [Bundle.open(path) for path in paths]
    first = bundles[0].manifest
    for bundle in bundles[1:]:
        found = bundle.manifest
        if (found.preset, found.latent) != (first.preset, first.latent):
            raise BadInput(
                f"{bundle.path} holds {found.preset} on the latent {found.latent.name}, but {bundles[0].path} "
                f"{first.preset} on {first.latent.name}: they do not draw from the same noise."
            )
    columns = [Column(name, bundle) for name, bundle in zip(_names(paths), bundles, strict=True)]
    return [Column(EAGER, bundles[0], True, checkpoint), *columns] if eager else columns


def engine_of(target: TargetName, threads: int) -> Backend:
    """What runs a target's graphs on this machine, nothing loaded yet; threads: 0 chooses.

    Raises BadInput where it is not installed.
    """
    if target != "coreml":
        return backend_for(target, SessionSettings(threads))
    from lira_export.targets import make_target

    return make_target("coreml").backend()


def remarks(columns: Sequence[Column]) -> list[str]:
    """Sentences on what a reader must know before comparing the figures."""
    bundles = [column for column in columns if not column.eager]
    first, sentences = bundles[0], []
    for column in bundles[1:]:
        found, wanted = column.bundle.manifest, first.bundle.manifest
        if found.sampler != wanted.sampler:
            sentences.append(f"{column.name} has other sampler defaults; what no option says is {first.name}'s.")
        if found.source.digest != wanted.source.digest:
            sentences.append(
                f"{column.name} names another source than {first.name}: other weights, or other encoders beside them."
            )
    sentences += [f"{column.name}: {column.engine}." for column in columns]
    return sentences


def _names(paths: Sequence[Path]) -> list[str]:
    """Folders' names where they tell the bundles apart, else the paths; the same bundle again is numbered."""
    short = [Path(os.path.abspath(path)).name for path in paths]
    names = short if len(set(short)) == len(set(map(os.path.abspath, paths))) else list(map(str, paths))
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered

"""Everything that `lira-verify` looks at, one check after another; it trusts no cache."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lira_runtime import manifest as manifest_module
from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.files import MANIFEST_NAME
from lira_runtime.manifest import Source
from lira_runtime.trust.check import Check, CheckName
from lira_runtime.trust.files import check_files
from lira_runtime.trust.graphs import Graphs
from lira_runtime.trust.signed import Demand, check_signature

WORDS = ("demo", "seed")
"""In place of a checkpoint's folder: weights that the exporter builds from what the manifest says."""


@dataclass(frozen=True)
class Asked:
    """deep: run the golden inputs. checkpoint: a folder, or one of `WORDS`: repeat parity with those weights."""

    deep: bool = False
    checkpoint: str | None = None
    signature: Demand = Demand()

    @property
    def checks(self) -> frozenset[CheckName]:
        """Those that were asked for by an option, and so must not be left out in silence."""
        deep: set[CheckName] = {"golden"} if self.deep else set()
        parity: set[CheckName] = {"parity"} if self.checkpoint is not None else set()
        signature: set[CheckName] = {"signature"} if self.signature.made else set()
        return frozenset(deep | parity | signature)


def verify(directory: Path, asked: Asked) -> Iterator[Check]:
    """Yield every check of the bundle in `directory`.

    Raises:
        BadInput: the checkpoint is not the one that the bundle was exported from, or the key cannot be read.
        OverBudget: a graph needs more memory than there is.
        OSError: a folder of the bundle cannot be listed.
    """
    if (directory / MANIFEST_NAME).is_symlink():
        yield Check("manifest", MANIFEST_NAME, "failed", "link", "it is a link, which may point outside of the bundle.")
        return
    try:
        data = manifest_module.read(directory)
        signature = check_signature(directory, data, asked.signature)
        manifest = manifest_module.parse(data)
    except DamagedBundle as error:
        yield Check("manifest", MANIFEST_NAME, "failed", error.code, str(error))
        return
    _check_checkpoint(asked.checkpoint, manifest.source)
    yield Check("manifest", MANIFEST_NAME, digest=hashlib.sha256(data).hexdigest())
    yield signature
    damaged = set()
    for check in check_files(directory, manifest):
        if check.check == "file" and check.failed:
            damaged.add(check.subject)
        yield check
    graphs = Graphs(directory, manifest, damaged)
    yield from graphs.check_tensors()
    yield from graphs.check_contents()
    yield from graphs.check_stated_parity()
    if asked.deep:
        yield from graphs.check_golden()
    if asked.checkpoint is not None:
        yield from graphs.check_parity(asked.checkpoint)


def _check_checkpoint(checkpoint: str | None, source: Source) -> None:
    """Raise BadInput, before anything takes long, for weights that cannot be the bundle's."""
    if checkpoint in WORDS:
        if checkpoint != source.weights:
            raise BadInput(f"the bundle's weights are from a {source.weights}, not from --checkpoint {checkpoint}.")
    elif checkpoint is not None and not Path(checkpoint).is_dir():
        raise BadInput(f"the checkpoint {checkpoint} is not a directory.")

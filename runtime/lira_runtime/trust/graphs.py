"""The graphs of a bundle: their tensors, what their files hold, and their golden runs."""

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lira_runtime.bundle import read_tensor
from lira_runtime.errors import BadInput, DamagedBundle
from lira_runtime.golden import GoldenInputs, golden_output, psnr_db
from lira_runtime.manifest import Component, FileEntry, Graph, Manifest, Parity
from lira_runtime.tokenizer import ClipTokenizer
from lira_runtime.trust.check import Check, CheckName
from lira_runtime.trust.engines import engine, export_module, graph_reader

MOST_ASKED_DB = 40.0
"""Of a golden output, however near eager the graph is: a phone may compute a float32 graph in float16."""
OPPOSED_DB = 6.0206
"""20 log10(2): two outputs that are P dB from a third are at least this less from each other."""


LEAST_PARITY_DB = 15.0
"""What the recipe that asks least asks; a manifest that says less does not make a golden run easier."""


def golden_threshold_db(parity: Parity) -> float:
    """What a golden output reaches wherever the graph is as near eager as it was at export, or nearer."""
    return min(MOST_ASKED_DB, max(parity.psnr_db, LEAST_PARITY_DB) - OPPOSED_DB)


@dataclass(frozen=True)
class Graphs:
    """The graphs of the bundle in `directory`. damaged: paths of files that are not to be opened."""

    directory: Path
    manifest: Manifest
    damaged: Set[str]

    def check_tensors(self) -> Iterator[Check]:
        """Each graph's own inputs and outputs against the manifest's."""
        for component, graph in self._every():
            yield self._if_whole("tensors", label(graph), component.files, partial(self._tensors, graph))

    def check_contents(self) -> Iterator[Check]:
        """Ops and stored dtypes of each component against the manifest's and its recipe's."""
        for component in self.manifest.components:
            yield self._if_whole("contents", component.name, component.files, partial(self._contents, component))

    def check_golden(self) -> Iterator[Check]:
        """Run each graph on its golden inputs and compare with the output that the bundle stores."""
        empty = self.manifest.empty_prompt
        shared = [self.manifest.tokenizer, *([] if empty is None else [empty])]
        for component, graph in self._every():
            if graph.golden is None:
                yield Check("golden", label(graph), "not_checked", "not_stored", "the bundle stores no output of it.")
            else:
                files = [*component.files, *shared, graph.golden]
                yield self._if_whole("golden", label(graph), files, partial(self._golden, component, graph))

    def check_stated_parity(self) -> Iterator[Check]:
        """One check for each loss that the manifest itself states: such bundles are written where that is asked for."""
        for component in self.manifest.components:
            if not component.parity.passed:
                yield _stated(component.name, component.parity.psnr_db, component.parity.threshold_db)
        if (drawn := self.manifest.trajectory) and not drawn.passed:
            yield _stated("picture", drawn.image_psnr_db, drawn.threshold_db)

    def check_parity(self, checkpoint: str) -> Iterator[Check]:
        """Compare each component, and a whole picture, with the eager model of which they are, as the export did.

        Raises BadInput where the checkpoint is another.
        """
        try:
            verify = export_module("lira_export.verify", self.manifest.target)
        except BadInput as error:
            yield Check("parity", "every component", "not_checked", "package_missing", str(error))
            return
        eager = verify.Eager(self.directory, self.manifest, checkpoint)
        for component in self.manifest.components:
            look = partial(eager.check_component, component)
            yield self._if_whole("parity", component.name, component.files, look)
        if drawn := self.manifest.trajectory:
            yield self._if_whole("parity", "picture", list(self.manifest.files()), partial(eager.check_picture, drawn))

    def _every(self) -> Iterator[tuple[Component, Graph]]:
        return ((component, graph) for component in self.manifest.components for graph in component.graphs)

    def _if_whole(self, check: CheckName, subject: str, files: Sequence[FileEntry], look: Callable[[], Check]) -> Check:
        """What `look` finds, unless its files are damaged or nothing here can do it."""
        if not self.damaged.isdisjoint(entry.path for entry in files):
            return Check(check, subject, "not_checked", "files_damaged", "its files are damaged.")
        try:
            return look()
        except DamagedBundle as error:
            return Check(check, subject, "failed", error.code, str(error))
        except BadInput as error:
            return Check(check, subject, "not_checked", "package_missing", str(error))

    def _tensors(self, graph: Graph) -> Check:
        graph_reader(self.manifest.target)(graph, self.directory)
        return Check("tensors", label(graph))

    def _contents(self, component: Component) -> Check:
        verify = export_module("lira_export.verify", self.manifest.target)
        return verify.check_contents(self.directory, self.manifest, component)

    def _golden(self, component: Component, graph: Graph) -> Check:
        assert graph.golden is not None
        found = golden_output(engine(self.manifest.target), graph, self.directory, self._inputs())
        psnr = min(psnr_db(found, read_tensor(self.directory, graph.golden)), 200.0)
        asked = golden_threshold_db(component.parity)
        said = f"{psnr:.1f} dB from the output stored at export, {asked:.1f} dB are needed"
        if psnr >= asked:
            return Check("golden", label(graph), said=f"{said}.")
        return Check(
            "golden",
            label(graph),
            "failed",
            "golden_differs",
            f"{said}: the graph is another, or this processor computes it otherwise.",
        )

    def _inputs(self) -> GoldenInputs:
        empty = self.manifest.empty_prompt
        states = None if empty is None else read_tensor(self.directory, empty)
        return GoldenInputs(ClipTokenizer.load(self.directory / self.manifest.tokenizer.path), states)


def _stated(subject: str, found_db: float, needed_db: float) -> Check:
    said = f"{found_db:.1f} dB against the eager model at export, {needed_db:.1f} dB were needed: its manifest says so."
    return Check("parity", subject, "failed", "parity_lost", said)


def label(graph: Graph) -> str:
    """A graph's file, with the entry where it is not the only one."""
    return graph.path if graph.entry == "main" else f"{graph.path} {graph.entry}"

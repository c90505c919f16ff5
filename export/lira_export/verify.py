"""What `lira-verify` needs of the exporter: counts of what files hold, and parity with the eager model once more."""

from collections.abc import Mapping
from pathlib import Path

from lira_export.compare.origin import models_of
from lira_export.drawing import draw
from lira_export.drift import picture_psnr_db
from lira_export.gates import MOST_DB, check_quantized
from lira_export.parity import outputs_of, psnr_db
from lira_export.recipes import get_recipe
from lira_export.references import DRAWN, References
from lira_export.target import Inventory
from lira_runtime.backends.session import first_line_of
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, DamagedBundle, ParityLost
from lira_runtime.manifest import Component, Graph, Manifest, TargetName, Trajectory
from lira_runtime.pipeline import Pipeline
from lira_runtime.trust.check import Check
from lira_runtime.trust.engines import engine, export_module
from lira_runtime.trust.verify import WORDS


def check_contents(directory: Path, manifest: Manifest, component: Component) -> Check:
    """Ops, products and bytes by dtype, counted anew, against the manifest's; and dtypes against the recipe's.

    Raises DamagedBundle where a file cannot be read.
    """
    inventory = _inventory(manifest.target, component.graphs[0], directory)
    said = component.contents
    for what, found, declared in (
        ("ops", inventory.ops, said.ops),
        ("products by their weights", inventory.products, said.products),
        ("bytes of weights", inventory.weight_bytes, said.weight_bytes),
    ):
        if difference := _difference(found, declared):
            sentence = f"{what} are not those that the manifest counts: {difference}."
            return Check("contents", component.name, "failed", "contents_differ", sentence)
    try:
        check_quantized(component.name, get_recipe(component.recipe, manifest.target), inventory)
    except (ParityLost, BadInput) as error:
        return Check("contents", component.name, "failed", "not_quantized", str(error))
    return Check("contents", component.name, said=_by_dtype(inventory))


def _inventory(target: TargetName, graph: Graph, directory: Path) -> Inventory:
    """As the target itself counts, without the libraries that only converting needs."""
    read = export_module(f"lira_export.{target}.inventory", target).read_inventory
    path = directory / graph.path
    try:
        return read(path) if target == "onnx" else read(path, graph.entry)
    except Exception as error:  # the formats' exceptions share no base but Exception
        raise DamagedBundle(f"{graph.path} cannot be read: {first_line_of(error)}", "graph_refused") from error


class Eager:
    """The eager models of the bundle in `directory`, to measure its parity with anew, as the export did.

    checkpoint: a folder, or one of `WORDS`. Raises BadInput where the bundle was exported from other weights.
    """

    def __init__(self, directory: Path, manifest: Manifest, checkpoint: str) -> None:
        self._bundle = Bundle(directory, manifest, "")
        models = models_of(self._bundle, None if checkpoint in WORDS else Path(checkpoint))
        self._references = References(models, manifest.resolutions)

    def check_component(self, component: Component) -> Check:
        """The worst of all samples at all sizes, judged by the manifest's threshold."""
        backend, samples = engine(self._bundle.manifest.target), self._references.samples(component.name)
        psnr = min(
            psnr_db(output, sample.reference)
            for graph in component.graphs
            for output, sample in zip(
                outputs_of(backend, graph, self._bundle.path, samples[graph.resolution]),
                samples[graph.resolution],
                strict=True,
            )
        )
        return _parity(component.name, psnr, component.parity.threshold_db, component.parity.psnr_db)

    def check_picture(self, trajectory: Trajectory) -> Check:
        """The picture of a whole drawing, judged by the manifest's threshold."""
        pipeline = Pipeline(self._bundle, engine(self._bundle.manifest.target))
        found, reference = draw(pipeline, DRAWN), self._references.drawing(self._bundle)
        psnr = picture_psnr_db(found.image, reference.image)
        return _parity("picture", psnr, trajectory.threshold_db, trajectory.image_psnr_db)


def _parity(subject: str, psnr: float, threshold: float, at_export: float) -> Check:
    needed = f"{threshold:.0f} dB are needed; {at_export:.1f} dB at export"
    said = f"{min(psnr, MOST_DB):.1f} dB against the eager model, {needed}."
    if psnr >= threshold:
        return Check("parity", subject, said=said)
    return Check("parity", subject, "failed", "parity_lost", said)


def _difference(found: Mapping[str, int], declared: Mapping[str, int]) -> str:
    """The first kind whose count differs, in a few words; empty where none does."""
    for kind in sorted({*found, *declared}, key=str):  # a name that is no text comes as bytes
        if found.get(kind, 0) != declared.get(kind, 0):
            return f"{kind} {found.get(kind, 0)}, not {declared.get(kind, 0)}"
    return ""


def _by_dtype(inventory: Inventory) -> str:
    return ", ".join(f"{dtype} {size / 1e6:.1f} MB" for dtype, size in sorted(inventory.weight_bytes.items()))

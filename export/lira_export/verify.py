"""What `lira-verify` needs of the exporter: counts of what files hold, and parity with the eager model once more."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lira_export.compare.origin import models_of
from lira_export.gates import MOST_DB, check_quantized
from lira_export.parity import outputs_of, psnr_db
from lira_export.recipes import get_recipe
from lira_export.references import References
from lira_export.target import Inventory
from lira_runtime.backends.session import first_line_of
from lira_runtime.bundle import Bundle
from lira_runtime.errors import BadInput, DamagedBundle, ParityLost
from lira_runtime.manifest import Component, Graph, Manifest, TargetName
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
        raise DamagedBundle(f"{graph.path} cannot be read: {first_line_of(error)}") from error


def parity_with(directory: Path, manifest: Manifest, checkpoint: str) -> Callable[[Component], Check]:
    """A component -> its parity with the eager model, measured anew on every sample and judged as at export.

    checkpoint: a folder, or one of `WORDS`. Raises BadInput where the bundle was exported from other weights.
    """
    bundle = Bundle(directory, manifest, "")
    models = models_of(bundle, None if checkpoint in WORDS else Path(checkpoint))
    references = References(models, manifest.resolutions)

    def look(component: Component) -> Check:
        backend, samples = engine(manifest.target), references.samples(component.name)
        psnr = min(
            psnr_db(output, sample.reference)
            for graph in component.graphs
            for output, sample in zip(
                outputs_of(backend, graph, directory, samples[graph.resolution]), samples[graph.resolution], strict=True
            )
        )
        parity = component.parity
        said = (
            f"{min(psnr, MOST_DB):.1f} dB against the eager model, {parity.threshold_db:.0f} dB are needed; "
            f"{parity.psnr_db:.1f} dB at export."
        )
        if psnr >= parity.threshold_db:
            return Check("parity", component.name, said=said)
        return Check("parity", component.name, "failed", "parity_lost", said)

    return look


def _difference(found: Mapping[str, int], declared: Mapping[str, int]) -> str:
    """The first kind whose count differs, in a few words; empty where none does."""
    for kind in sorted({*found, *declared}):
        if found.get(kind, 0) != declared.get(kind, 0):
            return f"{kind} {found.get(kind, 0)}, not {declared.get(kind, 0)}"
    return ""


def _by_dtype(inventory: Inventory) -> str:
    return ", ".join(f"{dtype} {size / 1e6:.1f} MB" for dtype, size in sorted(inventory.weight_bytes.items()))

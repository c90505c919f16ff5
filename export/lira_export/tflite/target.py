"""The target "tflite": convert, check, quantize, and one file for all resolutions."""

import tempfile
from pathlib import Path

from lira_export.parity import outputs_of, require_float32_parity
from lira_export.target import Inventory, Job, Written
from lira_export.tflite.convert import to_tflite
from lira_export.tflite.inventory import read_inventory
from lira_export.tflite.model import read, write
from lira_export.tflite.names import layers, name_layers
from lira_export.tflite.quantize import quantize
from lira_runtime.backends.protocol import Backend
from lira_runtime.backends.tflite import TfliteBackend
from lira_runtime.manifest import Graph, TargetName


class TfliteTarget:
    """TFLite for LiteRT, all arithmetic delegated to XNNPACK."""

    name: TargetName = "tflite"
    requires: str | None = None
    tools: tuple[str, ...] = (
        "torch",
        "litert-torch",
        "litert-converter",
        "ai-edge-quantizer",
        "ai-edge-litert",
        "transformers",
    )
    segment_sums = False

    def write(self, job: Job) -> Written:
        """One file; each resolution is a signature over the same weights."""
        path = job.folder / f"{job.name}.tflite"
        graphs = tuple(job.graph(resolution, path.name, job.entry(resolution)) for resolution in job.variants)
        with tempfile.TemporaryDirectory(dir=job.folder) as scratch:
            float32 = Path(scratch) / path.name
            job.say(f"{job.name}: tracing and lowering")
            _convert(job, graphs, float32)
            error = max(_float32_error(job, graph, float32) for graph in graphs)
            if job.recipe.dtype == "float32":
                float32.rename(path)
            else:
                job.say(f"{job.name}: quantizing ({job.recipe.name})")
                quantize(float32, path, job.name, job.recipe)
        require_shared_weights(path)
        return Written(graphs, (path,), error)

    def backend(self) -> Backend:
        """LiteRT."""
        return TfliteBackend()

    def inventory(self, graph: Graph, folder: Path) -> Inventory:
        """Counted in the flatbuffer; what is delegated is asked of the runtime."""
        return read_inventory(folder / graph.path, graph.entry)


def _convert(job: Job, graphs: tuple[Graph, ...], goal: Path) -> None:
    """The float32 file, its layers named."""
    variants = {graph.entry: job.variants[graph.resolution] for graph in graphs}
    raw = goal.with_suffix(".raw")
    to_tflite(variants, raw)
    model = read(raw)
    name_layers(model, next(iter(variants.values())).traceable)
    write(model, goal)
    raw.unlink()
    require_shared_weights(goal)


def _float32_error(job: Job, graph: Graph, path: Path) -> float:
    samples = job.samples[graph.resolution]
    return require_float32_parity(job.name, outputs_of(TfliteBackend(), graph, path.parent, samples), samples)


def require_shared_weights(path: Path) -> None:
    """Raise RuntimeError where two signatures of a file hold a weight of one layer twice."""
    model = read(path)
    stored: dict[str, int] = {}
    for subgraph in model.subgraphs:
        for layer in layers(model, subgraph):
            if stored.setdefault(layer.path, layer.buffer) != layer.buffer:
                raise RuntimeError(f"{path.name}: the signatures do not share the weights of {layer.path}")

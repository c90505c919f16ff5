"""The target "onnx": convert, check, quantize, and one file of weights for all resolutions."""

import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from lira_export.calibration import HiddenRanges, hidden_ranges
from lira_export.failures import converter_log
from lira_export.onnx.convert import to_onnx
from lira_export.onnx.half import store_half
from lira_export.onnx.inventory import read_inventory
from lira_export.onnx.quantize import quantize
from lira_export.onnx.store import WeightStore, save_alone
from lira_export.parity import GREATEST_GRAPH_ERROR, Sample, largest, require_float32_parity
from lira_export.passes.simplify import simplify
from lira_export.target import ENTRY, Inventory, Job, Resolution, Written
from lira_runtime.backends.onnx import OnnxBackend
from lira_runtime.backends.protocol import Backend
from lira_runtime.backends.session import SessionSettings, open_session
from lira_runtime.errors import ParityLost
from lira_runtime.manifest import Graph, TargetName


class OnnxTarget:
    """ONNX at opset 20 for ONNX Runtime on the CPU."""

    name: TargetName = "onnx"
    requires: str | None = None
    tools: tuple[str, ...] = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "onnxsim", "transformers")
    segment_sums = False

    def write(self, job: Job) -> Written:
        """One graph for each resolution, over one file of external weights."""
        ranges = None
        if job.recipe.calibrated and job.name == "denoiser":
            job.say("calibration: drawing with the eager denoiser")
            ranges = hidden_ranges(job.models)
        store = WeightStore(job.folder / f"{job.name}.onnx.data")
        graphs, errors = [], []
        for resolution in job.variants:
            path = job.folder / f"{job.file_stem(resolution)}.onnx"
            model, error = _traced(job, resolution)
            store.save(_reduced(model, job, ranges), path)
            graphs.append(job.graph(resolution, path.name, ENTRY))
            errors.append(error)
        files = tuple(job.folder / graph.path for graph in graphs)
        return Written(tuple(graphs), files + store.files(), max(errors))

    def backend(self) -> Backend:
        """ONNX Runtime."""
        return OnnxBackend()

    def inventory(self, graph: Graph, folder: Path) -> Inventory:
        """Counted in the protobuf and its external data."""
        return read_inventory(folder / graph.path)


def _traced(job: Job, resolution: Resolution) -> tuple[ir.Model, float]:
    """The float32 graph after onnxsim, and how far it is from eager; both steps are compared with what was before."""
    samples = job.samples[resolution]
    job.say(f"{job.name}: tracing" + (f" at {resolution} px" if len(job.variants) > 1 else ""))
    with tempfile.TemporaryDirectory(dir=job.folder) as scratch:
        graph = Path(scratch) / "before.onnx"
        with converter_log(job.name):
            model = to_onnx(job.variants[resolution])
        save_alone(model, graph)
        before, nodes = _outputs(graph, samples), len(model.graph)
        with converter_log(job.name):
            model = simplify(model)
        graph = Path(scratch) / "after.onnx"
        save_alone(model, graph)
        after = _outputs(graph, samples)
    change = largest([a - b for a, b in zip(before, after, strict=True)])
    job.say(f"{job.name}: onnxsim {nodes} -> {len(model.graph)} nodes, largest change of an output {change:.1e}")
    if not change <= GREATEST_GRAPH_ERROR:
        raise ParityLost(f"{job.name}: onnxsim changed the graph's outputs by {change:.2e}.")
    return model, require_float32_parity(job.name, after, samples)


def _reduced(model: ir.Model, job: Job, ranges: HiddenRanges | None) -> ir.Model:
    if job.recipe.quantizes:
        job.say(f"{job.name}: quantizing ({job.recipe.name})")
        quantize(model, job.name, job.recipe, ranges)
    return model if job.recipe.dtype == "float32" else store_half(model)


def _outputs(graph: Path, samples: list[Sample]) -> list[NDArray[np.float32]]:
    """The graph's first output on every sample."""
    session = open_session(graph, SessionSettings())
    return [session.run(None, sample.inputs)[0] for sample in samples]

"""The target "coreml": export, scan for float16, convert, quantize, and one package for all resolutions."""

import shutil
import tempfile
from pathlib import Path

from coremltools.models.utils import MultiFunctionDescriptor, save_multifunction

from lira_export.coreml.activations import quantize_activations
from lira_export.coreml.backend import CoremlBackend
from lira_export.coreml.convert import converted, exported, weight_paths
from lira_export.coreml.describe import describe_package, describe_tensors
from lira_export.coreml.drawings import real_inputs
from lira_export.coreml.inventory import read_inventory
from lira_export.coreml.library import MLModel, quiet
from lira_export.coreml.limits import check_ios
from lira_export.coreml.quantize import quantize
from lira_export.coreml.ranges import Float32Ops, RangeScan
from lira_export.failures import converter_log
from lira_export.parity import require_float32_parity
from lira_export.target import ENTRY, Inventory, Job, Resolution, Written
from lira_runtime.backends.protocol import Backend
from lira_runtime.manifest import Graph, TargetName


class CoremlTarget:
    """Core ML: ML Programs for an iOS of `ios` or later."""

    name: TargetName = "coreml"
    tools: tuple[str, ...] = ("torch", "coremltools", "transformers")
    segment_sums = True

    def __init__(self, ios: int) -> None:
        check_ios(ios)
        self._ios = ios
        self.requires: str | None = f"iOS{ios}"

    def write(self, job: Job) -> Written:
        """One package: a function "main", or for several resolutions one each, "r256" say, over the same weights."""
        package = job.folder / f"{job.name}.mlpackage"
        errors, kept = [], dict[str, None]()
        with converter_log(job.name), tempfile.TemporaryDirectory(dir=job.folder) as scratch:
            variants = {}
            for resolution in job.variants:
                variants[resolution] = Path(scratch) / f"{job.file_stem(resolution)}.mlpackage"
                error, names = self._write_variant(job, resolution, variants[resolution])
                errors.append(error)
                kept |= dict.fromkeys(names)
            entries = _join(job, variants, package)
        files = tuple(path for path in sorted(package.rglob("*")) if path.is_file())
        graphs = tuple(job.graph(resolution, package.name, entry) for resolution, entry in entries.items())
        return Written(graphs, files, max(errors), tuple(kept))

    def backend(self) -> Backend:
        """The interpreter of `lira_export.coreml.interpret`."""
        return CoremlBackend()

    def inventory(self, graph: Graph, folder: Path) -> Inventory:
        """Counted in the ML Program."""
        return read_inventory(folder / graph.path, graph.entry)

    def _write_variant(self, job: Job, resolution: Resolution, package: Path) -> tuple[float, tuple[str, ...]]:
        """Save one resolution's package; returns its float32 graph's error and the tensors that stay float32."""
        variant, recipe, samples = job.variants[resolution], job.recipe, job.samples[resolution]
        where = f"{job.name} at {resolution} px" if len(job.variants) > 1 else job.name
        job.say(f"{where}: tracing")
        program = exported(variant)
        scan = RangeScan(program, [spec.name for spec in variant.inputs])
        outputs = [scan.run(sample.inputs)[0] for sample in samples]
        error = require_float32_parity(job.name, outputs, samples)
        half = None if recipe.dtype == "float32" else self._float16_ops(job, resolution, scan)
        job.say(f"{where}: converting to an ML Program")
        model, paths = converted(program, variant, self._ios, half), weight_paths(program)
        if recipe.name == "w8a8":
            model = quantize_activations(model, job.name, recipe, paths, scan.product_inputs())
        if recipe.quantizes:
            job.say(f"{where}: quantizing ({recipe.name})")
            model = quantize(model, job.name, recipe, paths, self._ios)
        describe_tensors(model, job, resolution)
        with quiet():
            model.save(str(package))
        return error, () if half is None else half.names()

    def _float16_ops(self, job: Job, resolution: Resolution, scan: RangeScan) -> Float32Ops:
        for inputs in real_inputs(job, resolution):
            scan.run(inputs)
        beyond = scan.beyond()
        found = "; ".join(map(str, beyond)) or "none"
        job.say(f"{job.name}: tensors that float16 cannot hold, kept in float32: {found}")
        return Float32Ops(beyond)


def _join(job: Job, variants: dict[Resolution, Path], package: Path) -> dict[Resolution, str]:
    """Make one described package of the variants', and return the function of each resolution."""
    entries = {resolution: job.entry(resolution) for resolution in variants}
    if len(variants) == 1:
        source = next(iter(variants.values()))
    else:
        functions = MultiFunctionDescriptor()
        for resolution, path in variants.items():
            functions.add_function(str(path), ENTRY, entries[resolution])
        functions.default_function_name = next(iter(entries.values()))
        source = package.with_name(f"{job.name}-joined.mlpackage")
        with quiet():
            save_multifunction(functions, str(source))
    model = MLModel(str(source), skip_model_load=True)
    describe_package(model, job)
    model.save(str(package))
    if len(variants) > 1:
        shutil.rmtree(source)
    return entries

"""One component to its ONNX files: convert, check, quantize, check again."""

import errno
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir

from lira_export.calibration import HiddenRanges
from lira_export.components import Component
from lira_export.onnx.convert import to_onnx
from lira_export.onnx.half import store_half
from lira_export.onnx.quantize import quantize
from lira_export.parity import Sample, psnr_db
from lira_export.passes.simplify import simplify
from lira_export.recipes import GREATEST_GRAPH_ERROR, Recipe
from lira_runtime import manifest
from lira_runtime.backends.session import SessionSettings, open_session
from lira_runtime.errors import ParityLost
from lira_runtime.files import sha256_of

EXTERNAL_FROM_BYTES = 1024
Say = Callable[[str], None]


def export_component(
    component: Component,
    samples: list[Sample],
    recipe: Recipe,
    folder: Path,
    say: Say,
    ranges: HiddenRanges | None = None,
) -> manifest.Component:
    """Write the component's graph and weights into `folder`; ranges: see `onnx.quantize.quantize`.

    Returns:
        its manifest entry, with the parity measured on the very files written.

    Raises:
        ParityLost: the float32 graph or the quantized one is further from eager than allowed.
    """
    name = component.name
    say(f"{name}: tracing")
    graph = folder / f"{name}.onnx"
    model = _simplified(to_onnx(component), graph, samples, say)
    graph_error = _largest([found - sample.reference for sample, found in _runs(graph, samples)])
    if not graph_error <= GREATEST_GRAPH_ERROR:
        raise ParityLost(
            f"{name}: the float32 graph is {graph_error:.2e} from eager, allowed {GREATEST_GRAPH_ERROR:.0e}."
        )
    psnr, threshold = None, recipe.least_psnr_db.get(name)
    if recipe.quantizes:
        say(f"{name}: quantizing ({recipe.name})")
        store_half(quantize(model, name, recipe, ranges))
        _save(model, graph)
        psnr = min(psnr_db(found, sample.reference) for sample, found in _runs(graph, samples))
    if psnr is not None and threshold is not None and not psnr >= threshold:
        raise ParityLost(
            f"{name}: recipe {recipe.name} keeps {psnr:.1f} dB against eager, {threshold:.0f} dB are needed."
        )
    parity = manifest.Parity(
        fp32_max_abs=graph_error,
        quantized_psnr_db=None if psnr is None else min(psnr, 200.0),
        threshold_db=threshold,
        passed=True,
    )
    return manifest.Component(
        name=name,  # type: ignore[arg-type]
        files=tuple(_entry(path) for path in (graph, _data_file(graph)) if path.exists()),
        inputs=component.inputs,
        outputs=component.outputs,
        recipe=recipe.name,
        parity=parity,
        weight_bytes=_weight_bytes(model),
    )


def _simplified(model: ir.Model, graph: Path, samples: list[Sample], say: Say) -> ir.Model:
    """Save the graph after onnxsim, once its outputs were compared with those from before."""
    _save(model, graph)
    before = [found for _, found in _runs(graph, samples)]
    nodes = len(model.graph)
    model = simplify(model)
    _save(model, graph)
    change = _largest([a - b for a, (_, b) in zip(before, _runs(graph, samples), strict=True)])
    say(f"{graph.stem}: onnxsim {nodes} -> {len(model.graph)} nodes, largest change of an output {change:.1e}")
    if not change <= GREATEST_GRAPH_ERROR:
        raise ParityLost(f"{graph.stem}: onnxsim changed the graph's outputs by {change:.2e}.")
    return model


def _runs(graph: Path, samples: list[Sample]) -> list[tuple[Sample, np.ndarray]]:
    """Every sample with the graph's first output."""
    session = open_session(graph, SessionSettings())
    return [(sample, session.run(None, sample.inputs)[0]) for sample in samples]


def _largest(differences: list[np.ndarray]) -> float:
    """Largest absolute value; NaN where there is one, unlike Python's max."""
    return float(np.max([np.abs(difference).max() for difference in differences]))


def _save(model: ir.Model, graph: Path) -> None:
    """Write graph and external weights; the old files may still feed the model, so they are replaced at the end."""
    fresh = graph.parent / "fresh"
    fresh.mkdir()
    try:
        ir.save(
            model, fresh / graph.name, external_data=_data_file(graph).name, size_threshold_bytes=EXTERNAL_FROM_BYTES
        )
    except OSError as error:
        # NumPy reports a short write without saying why; there is one reason for it.
        raise error if error.errno else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(graph)) from error
    for path in fresh.iterdir():
        path.rename(graph.parent / path.name)
    fresh.rmdir()


def _data_file(graph: Path) -> Path:
    return graph.with_name(f"{graph.name}.data")


def _entry(path: Path) -> manifest.FileEntry:
    return manifest.FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path))


def _weight_bytes(model: ir.Model) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            total[value.const_value.dtype.numpy().name] += value.const_value.nbytes
    return dict(sorted(total.items()))

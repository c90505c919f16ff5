"""Top bits flipped in the int8 weights of every component's file stop an export, in every format."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lira_export.bundle import Order, write_bundle
from lira_export.recipes import get_recipe
from lira_export.references import References
from lira_export.target import Job
from lira_export.targets import TARGETS, make_target
from lira_runtime import manifest
from lira_runtime.bundle import Bundle
from lira_runtime.errors import ParityLost
from lira_runtime.interface import COMPONENTS
from lira_runtime.manifest import Graph, TargetName

IOS = 18
EVERY = 64
"""One weight in so many is changed: a single one drowns, as docs/export.md says."""
LEAST_BYTES = 2048
Stored = Iterator[tuple[Path, int, int]]
"""File, offset and length of an int8 weight."""


def onnx_weights(folder: Path, graph: Graph) -> Stored:
    for tensor in onnx.load(folder / graph.path, load_external_data=False).graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and tensor.external_data:
            fields = {entry.key: entry.value for entry in tensor.external_data}
            yield folder / fields["location"], int(fields["offset"]), int(fields["length"])


def tflite_weights(folder: Path, graph: Graph) -> Stored:
    from lira_export.tflite.model import DTYPES, read, subgraph

    path = folder / graph.path
    model, stored = read(path), path.read_bytes()
    for tensor in subgraph(model, graph.entry).tensors:
        data = model.buffers[tensor.buffer].data
        if DTYPES[tensor.type] == "int8" and data is not None:
            yield path, stored.find(np.asarray(data).tobytes()), len(data)


def coreml_weights(folder: Path, graph: Graph) -> Stored:
    from lira_export.coreml.interpret import read_function

    path = folder / graph.path / "Data/com.apple.CoreML/weights/weight.bin"
    stored = path.read_bytes()
    for op in read_function(folder / graph.path, graph.entry).operations:
        if op.op_type == "constexpr_blockwise_shift_scale":
            packed = op.data.val.astype(np.int8).tobytes()
            yield path, stored.find(packed), len(packed)


WEIGHTS: dict[TargetName, Callable[[Path, Graph], Stored]] = {
    "onnx": onnx_weights,
    "tflite": tflite_weights,
    "coreml": coreml_weights,
}


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("target", TARGETS)
def test_flipped_bits_in_any_component_stop_the_export(
    target: TargetName,
    component: str,
    mites: Callable[[TargetName], Any],
    write_copies: Callable[..., None],
    tmp_path: Path,
) -> None:
    mite = mites(target)
    (graph, *_) = Bundle.open(mite.bundle).component(component).graphs

    def flip(job: Job) -> None:
        places = {place for place in WEIGHTS[target](job.folder, graph) if place[2] >= LEAST_BYTES}
        assert len(places) >= 8 and min(offset for _, offset, _ in places) >= 0
        for path, offset, length in places:
            stored = np.fromfile(path, np.uint8)
            stored[offset : offset + length : EVERY] ^= 0x80
            stored.tofile(path)

    write_copies(mite.bundle, flip)
    sides = manifest.load(mite.bundle).resolutions
    order = Order("mite", make_target(target, IOS), get_recipe("int8", target), tmp_path / "bundle", (component,))
    with pytest.raises(ParityLost, match=f"^{component}: recipe int8 keeps .* dB against eager, .* are needed"):
        write_bundle(order, References(mite.models, sides), lambda line: None)
    assert list(tmp_path.iterdir()) == []

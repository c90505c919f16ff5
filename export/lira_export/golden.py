"""Golden outputs, written at export by the very files: what `lira-verify --deep` compares another machine's with."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from lira_runtime.backends.protocol import Backend
from lira_runtime.errors import ParityLost
from lira_runtime.files import sha256_of
from lira_runtime.golden import GoldenInputs, golden_output
from lira_runtime.manifest import Component, Graph, TensorFile


def write_golden(
    folder: Path, components: Sequence[Component], backend: Backend, inputs: GoldenInputs
) -> tuple[Component, ...]:
    """Run every graph in `folder` and write its golden output beside it; returns the components with their records.

    Raises ParityLost where an output is not finite.
    """
    return tuple(
        msgspec.structs.replace(
            component,
            graphs=tuple(_with_golden(folder, component, graph, backend, inputs) for graph in component.graphs),
        )
        for component in components
    )


def _with_golden(folder: Path, component: Component, graph: Graph, backend: Backend, inputs: GoldenInputs) -> Graph:
    values = golden_output(backend, graph, folder, inputs)
    if not np.isfinite(values).all():
        raise ParityLost(f"{component.name}: {graph.path} returns values that are not finite numbers.", "not_finite")
    stem = component.name if len(component.graphs) == 1 else f"{component.name}-{graph.resolution}"
    path = folder / f"golden-{stem}.f32"
    path.write_bytes(values.astype("<f4").tobytes())
    golden = TensorFile(
        path=path.name, bytes=path.stat().st_size, sha256=sha256_of(path), shape=values.shape, dtype="float32"
    )
    return msgspec.structs.replace(graph, golden=golden)

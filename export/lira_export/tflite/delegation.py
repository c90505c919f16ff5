"""Which ops of a TFLite graph XNNPACK leaves to LiteRT's own kernels, asked of the runtime itself."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from lira_export.tflite.model import read, subgraph_of, write
from lira_runtime.backends.tflite import silent_stderr

DELEGATE = "DELEGATE"


def undelegated(path: Path, signature: str) -> Counter[str]:
    """Ops by kind that run outside XNNPACK. Raises KeyError for an unknown signature."""
    model = read(path)
    index = subgraph_of(model, signature)
    if index == 0:
        return _undelegated(path)
    # The interpreter tells the ops of the first subgraph alone.
    model.subgraphs = [model.subgraphs[index]]
    model.signatureDefs = None
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        alone = Path(scratch) / path.name
        write(model, alone)
        return _undelegated(alone)


def _undelegated(path: Path) -> Counter[str]:
    """Walk back from the outputs, through delegates where they make a tensor: what is met on the way runs."""
    with silent_stderr():
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        ops = interpreter._get_ops_details()
        needed = [int(detail["index"]) for detail in interpreter.get_output_details()]
        del interpreter
    makers: dict[int, dict[str, Any]] = {}
    for op in ops:
        for tensor in op["outputs"]:
            if op["op_name"] == DELEGATE or tensor not in makers:
                makers[int(tensor)] = op
    running: dict[int, str] = {}
    while needed:
        op = makers.get(needed.pop(), {"index": -1})
        if op["index"] not in running:
            running[op["index"]] = op.get("op_name", DELEGATE)
            needed.extend(int(tensor) for tensor in op.get("inputs", ()))
    return Counter(kind for kind in running.values() if kind != DELEGATE)

"""What a TFLite file holds, read from its flatbuffer."""

from collections import Counter
from math import prod
from pathlib import Path

from ai_edge_quantizer.qtyping import ModelT, OperatorT, SubGraphT, TensorT

from lira_export.target import Inventory
from lira_export.tflite.delegation import undelegated
from lira_export.tflite.model import DTYPES, op_kind, read, subgraph_of
from lira_export.tflite.names import WEIGHT_INPUT

LOOK_UPS = ("EMBEDDING_LOOKUP",)
UNPACKING = ("DEQUANTIZE", "RESHAPE", "TRANSPOSE")
"""What may stand between a stored weight and its product."""


def read_inventory(path: Path, signature: str) -> Inventory:
    """Counts of one signature of the file at `path`."""
    model = read(path)
    subgraph = model.subgraphs[subgraph_of(model, signature)]
    sizes, elements, seen = Counter[str](), Counter[str](), set()
    for tensor in subgraph.tensors:
        data = model.buffers[tensor.buffer].data
        if data is not None and len(data) and tensor.buffer not in seen:
            seen.add(tensor.buffer)
            sizes[DTYPES[tensor.type]] += len(data)
            elements[DTYPES[tensor.type]] += prod(_shape(tensor))
    return Inventory(
        ops=Counter(op_kind(model, op) for op in subgraph.operators),
        products=_products(model, subgraph),
        weight_bytes=sizes,
        weight_elements=elements,
        highest_rank=max(len(_shape(tensor)) for tensor in subgraph.tensors),
        undelegated=undelegated(path, signature),
    )


def _products(model: ModelT, subgraph: SubGraphT) -> Counter[str]:
    """Products by the dtype in which their weight is stored; those of two computed tensors have none."""
    makers = {index: op for op in subgraph.operators for index in op.outputs}
    found = Counter[str]()
    for op in subgraph.operators:
        kind = op_kind(model, op)
        if kind in WEIGHT_INPUT and kind not in LOOK_UPS:
            weight = _stored(model, subgraph, makers, op.inputs[WEIGHT_INPUT[kind]])
            if weight is not None:
                found[DTYPES[weight.type]] += 1
    return found


def _stored(model: ModelT, subgraph: SubGraphT, makers: dict[int, OperatorT], index: int) -> TensorT | None:
    """The constant that a product's input comes from, or None where it is computed."""
    while model.buffers[subgraph.tensors[index].buffer].data is None:
        maker = makers.get(index)
        if maker is None or op_kind(model, maker) not in UNPACKING:
            return None
        index = maker.inputs[0]
    return subgraph.tensors[index]


def _shape(tensor: TensorT) -> tuple[int, ...]:
    return tuple(tensor.shape) if tensor.shape is not None else ()

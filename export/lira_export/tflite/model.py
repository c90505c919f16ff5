"""TFLite files as objects: what of the flatbuffer's schema the other modules read."""

from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer.model_modifier import ModelModifier
from ai_edge_quantizer.qtyping import ModelT, OperatorT, SubGraphT
from ai_edge_quantizer.utils import tfl_flatbuffer_utils


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


KINDS = _names(schema.BuiltinOperator)
DTYPES = {code: name.lower() for code, name in _names(schema.TensorType).items()}


def read(path: Path) -> ModelT:
    """The model of a file, its weights mapped and not read."""
    return tfl_flatbuffer_utils.read_model(path)


def write(model: ModelT, path: Path) -> None:
    """Write a model, with large weights behind the flatbuffer, each on a multiple of 16 bytes."""
    ModelModifier(model).modify_model({}, serialize_to_path=path)


def op_kind(model: ModelT, op: OperatorT) -> str:
    """Name of an op in TFLite's schema."""
    code = model.operatorCodes[op.opcodeIndex]
    return KINDS[max(code.builtinCode, code.deprecatedBuiltinCode)]


def subgraph_of(model: ModelT, signature: str) -> int:
    """Index of the subgraph behind a signature. Raises KeyError."""
    return {each.signatureKey.decode(): each.subgraphIndex for each in model.signatureDefs}[signature]


def subgraph(model: ModelT, signature: str) -> SubGraphT:
    """The subgraph behind a signature. Raises KeyError."""
    return model.subgraphs[subgraph_of(model, signature)]

"""onnxsim as a step of the pipeline; the exporter compares its result with its input.

Large weights are taken out before and put back after: onnxsim works on one protobuf message, which may not pass 2 GB,
and it has nothing to fold in a matrix of weights.
"""

import onnx_ir as ir
import onnxsim

LARGE_WEIGHT_BYTES = 16 * 1024


def simplify(model: ir.Model) -> ir.Model:
    """Constant folding and clean-up by onnxsim; `model` is used up."""
    weights = _take_out_large(model)
    simplified, _ = onnxsim.simplify(ir.to_proto(model), check_n=0)
    result = ir.from_proto(simplified)
    _put_back(result, weights)
    result.ir_version = model.ir_version
    return result


def _take_out_large(model: ir.Model) -> dict[str, ir.TensorProtocol]:
    """Make large initializers graph inputs; returns their tensors by name."""
    taken: dict[str, ir.TensorProtocol] = {}
    for name, value in list(model.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes >= LARGE_WEIGHT_BYTES:
            taken[name] = tensor
            model.graph.initializers.pop(name)
            value.const_value = None
            value.shape, value.dtype = ir.Shape(tensor.numpy().shape), tensor.dtype
            model.graph.inputs.append(value)
    return taken


def _put_back(model: ir.Model, weights: dict[str, ir.TensorProtocol]) -> None:
    for value in list(model.graph.inputs):
        if value.name in weights:
            model.graph.inputs.remove(value)
            value.const_value = weights[value.name]
            model.graph.register_initializer(value)

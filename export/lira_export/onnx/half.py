"""Store what a recipe keeps in float as float16, computed in float32 all the same.

A Cast stands behind each large weight; the runtime folds it when it loads the graph. It halves what int8 leaves of the
file, at a rounding of 2^-11 that is far below int8's.
"""

import numpy as np
import onnx_ir as ir

LEAST_ELEMENTS = 2048


def store_half(model: ir.Model) -> ir.Model:
    """Halve every float32 matrix of 2048 elements or more whose values float16 can hold; scales and biases stay."""
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        if value.const_value is None or value.const_value.dtype != ir.DataType.FLOAT:
            continue
        array = value.const_value.numpy()
        if array.ndim < 2 or array.size < LEAST_ELEMENTS or np.abs(array).max() > np.finfo(np.float16).max:
            continue
        half = ir.tensor(array.astype(np.float16), name=f"{name}.half")
        stored = ir.Value(name=half.name, const_value=half, shape=ir.Shape(array.shape), type=ir.TensorType(half.dtype))
        cast = ir.node("Cast", [stored], {"to": ir.DataType.FLOAT}, name=f"{name}/Cast")
        cast.outputs[0].shape, cast.outputs[0].type = stored.shape, ir.TensorType(ir.DataType.FLOAT)
        value.replace_all_uses_with(cast.outputs[0])
        del graph.initializers[name]
        cast.outputs[0].name = name
        graph.register_initializer(stored)
        graph.insert_before(graph[0], cast)
    return model

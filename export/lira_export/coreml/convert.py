"""Component -> ExportedProgram -> ML Program."""

from collections.abc import Callable, Mapping

import torch
from coremltools.converters.mil.mil import Operation, types
from coremltools.converters.mil.mil.scope import ScopeSource
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from lira_export.components import Component
from lira_export.coreml.library import MLModel, ct, quiet
from lira_runtime.interface import TensorSpec

MIL_DTYPES = {"float32": types.fp32, "int32": types.int32}
WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)
HALF_SUFFIX = "_to_fp16"
"""coremltools appends it to the name of a constant that it made float16."""
ORIGIN = "debug_handle"
"""Of a node's `meta`: a number that coremltools hands on to every op that comes of the node, however it is named."""


def exported(component: Component) -> ExportedProgram:
    """The component's graph in ATen ops, float32, without the ops that coremltools lowers badly, its nodes numbered."""
    with quiet(), torch.no_grad():
        program = torch.export.export(component.traceable, component.example()).run_decompositions(DECOMPOSITIONS)
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])  # coremltools has no lowering for it
        program.graph.erase_node(node)
    for tensors in (program.state_dict, program.constants):
        tensors.update({name: tensor.clone() for name, tensor in tensors.items() if _is_vector(tensor)})
    for number, node in enumerate(program.graph.nodes):
        node.meta[ORIGIN] = number
    return program


def converted(
    program: ExportedProgram, component: Component, ios: int, half: Callable[[Operation], bool] | None
) -> MLModel:
    """The ML Program for `ios`, inputs and outputs named and typed as the component says.

    half: which ops compute in float16; None for none.
    """
    precision = ct.precision.FLOAT32 if half is None else ct.transform.FP16ComputePrecision(op_selector=half)
    with quiet():
        return ct.convert(
            program,
            convert_to="mlprogram",
            inputs=[_tensor_type(spec) for spec in component.inputs],
            outputs=[ct.TensorType(name=spec.name, dtype=MIL_DTYPES[spec.dtype]) for spec in component.outputs],
            minimum_deployment_target=ct.target[f"iOS{ios}"],
            compute_precision=precision,
            skip_model_load=True,
        )


def number_of(origin: fx.Node | Operation) -> int | None:
    """Of a node of an `exported` program, or of the node that an op comes of; None for an op of unknown origin."""
    if isinstance(origin, fx.Node):
        return origin.meta[ORIGIN]
    (number,) = origin.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE, [None])
    return number


def weight_paths(program: ExportedProgram) -> Mapping[str, str]:
    """Names of constants, the exported program's and the ML Program's, -> path of the parameter or buffer.

    "p_blocks_0_ffn_fc1_weight_to_fp16" is "blocks.0.ffn.fc1.weight".
    """
    paths = {
        spec.arg.name: spec.target
        for spec in program.graph_signature.input_specs
        if spec.kind in WEIGHTS and spec.target is not None
    }
    return paths | {name + HALF_SUFFIX: path for name, path in paths.items()}


def _is_vector(tensor: Tensor) -> bool:
    """Whether a convolution's bias may be made of it: coremltools turns one's sign in place, in the eager model too."""
    return tensor.numel() == max(tensor.shape, default=1)


def _tensor_type(spec: TensorSpec) -> ct.TensorType:
    return ct.TensorType(name=spec.name, shape=spec.shape, dtype=MIL_DTYPES[spec.dtype])


def _layer_norm(
    x: Tensor,
    shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = False,
) -> Tensor:
    """The affine part by itself: one op normalises, whatever follows can be fused."""
    if weight is None and bias is None:
        return NotImplemented
    y = torch.nn.functional.layer_norm(x, shape, None, None, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _clamp(x: Tensor, least: float | None = None, most: float | None = None) -> Tensor:
    """One-sided clamps as minimum or maximum: coremltools would put float32's largest number at the other side."""
    if least is None and most is not None:
        return torch.ops.aten.clamp_max.default(x, most)
    if most is None and least is not None:
        return torch.ops.aten.clamp_min.default(x, least)
    return NotImplemented


DECOMPOSITIONS = {torch.ops.aten.layer_norm.default: _layer_norm, torch.ops.aten.clamp.default: _clamp}

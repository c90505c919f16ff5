"""Runs a saved Core ML ML Program on any system, executing what the file says: `Program.load(package).run(inputs)`.

Weights are unpacked as the file stores them. Each op's result is rounded to the dtype that the file declares for it;
sums inside an op are float32. An op that is not known here is an error, never skipped. What this cannot see: the
arithmetic of Apple's processors inside an op, their speed, their memory, and which of them runs what.

`python -m lira_export.coreml.interpret --coverage` lists the ops.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load as load_milproto
from coremltools.converters.mil.mil import Function, Operation, Var
from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry
from numpy.typing import NDArray
from torch import Tensor

from lira_export.coreml.library import ct
from lira_export.coreml.ops import RULES
from lira_export.coreml.ops.rule import OpFailed
from lira_export.coreml.plan import Declared, declared_by, plan_function
from lira_runtime.backends.session import first_line_of
from lira_runtime.errors import BadInput, DamagedBundle, cli_guard

__all__ = ["OpFailed", "Program", "TensorType", "coverage", "read_function", "tensor_types"]
WEIGHTS = Path("Data/com.apple.CoreML/weights")
TensorType = tuple[tuple[int, ...], str]
"""Shape and NumPy dtype name."""


class Program:
    """One function of an ML Program, ready to run."""

    def __init__(self, function: Function) -> None:
        """Plan the function and unpack its weights. Raises OpFailed on an op that cannot be run."""
        self._plan = plan_function(function)
        self._counts = Counter(op.op_type for op in function.operations if op.op_type != "const")
        self.inputs = tensor_types(function.inputs.values())
        self.outputs = tensor_types(function.outputs)

    @classmethod
    def load(cls, package: Path, function: str = "main") -> "Program":
        """Load one function of a .mlpackage. Raises DamagedBundle as `read_function` does, and OpFailed."""
        return cls(read_function(package, function))

    def op_counts(self) -> Counter[str]:
        """Ops by type, those that unpack weights (`constexpr_*`) included, constants not."""
        return Counter(self._counts)

    @torch.inference_mode()
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run on named inputs and return named outputs, of the shapes and dtypes in `self.inputs` and `self.outputs`.

        Raises:
            ValueError: the inputs have other names, shapes or dtypes.
            OpFailed: an op fails, or gives another shape or dtype than the file declares.
        """
        if inputs.keys() != self.inputs.keys():
            raise ValueError(f"the program takes {sorted(self.inputs)}, not {sorted(inputs)}")
        values = list(self._plan.values)
        for name, (slot, _) in self._plan.inputs.items():
            values[slot] = self._input(name, inputs[name])
        for step in self._plan.steps:
            for (slot, _), value in zip(step.targets, step.results(values), strict=True):
                values[slot] = value
            for slot in step.spent:
                values[slot] = None
        return {name: _array(values[slot]) for name, (slot, _) in self._plan.outputs.items()}

    def _input(self, name: str, array: NDArray[Any]) -> Tensor:
        if (array.shape, array.dtype.name) != self.inputs[name]:
            raise ValueError(f"{name} is {self.inputs[name]}, not {(array.shape, array.dtype.name)}")
        return torch.from_numpy(np.array(array))


def coverage() -> tuple[list[str], list[str]]:
    """Names of the MIL ops that PyTorch runs here, and of those run by coremltools' own `value_inference`."""
    variants = {name: list(versions.values()) for name, versions in SSAOpRegistry.core_ops.items()}
    own = [
        name
        for name, kinds in variants.items()
        if name not in RULES and all(kind.value_inference is not Operation.value_inference for kind in kinds)
    ]
    return sorted(RULES), sorted(set(own) - {"const", "_const_symbolic", "cond"})


def read_function(package: Path, function: str) -> Function:
    """Read one function of a .mlpackage, and only that one's weights.

    Raises DamagedBundle where the package cannot be read or has no such function.
    """
    try:
        spec = ct.utils.load_spec(str(package))
        functions = spec.mlProgram.functions
        others = sorted(name for name in functions if name != function)
        if function in functions:
            for name in others:
                del functions[name]
            version, weights = spec.specificationVersion, str(package / WEIGHTS)
            return load_milproto(spec, specification_version=version, file_weights_dir=weights).functions[function]
    except Exception as error:  # coremltools' exceptions share no base but Exception
        raise DamagedBundle(f"{package.name} cannot be loaded: {first_line_of(error)}", "graph_refused") from error
    raise DamagedBundle(
        f"{package.name} has no function '{function}', but {', '.join(others) or 'none'}.", "graph_refused"
    )


def tensor_types(variables: Iterable[Var]) -> dict[str, TensorType]:
    """Names of inputs or outputs -> their types. Raises OpFailed for a type that is not implemented."""
    return {var.name: _type(declared_by(var)) for var in variables}


def _type(declared: Declared) -> TensorType:
    return declared.shape, str(declared.dtype).removeprefix("torch.")


def _array(value: Tensor | None) -> NDArray[Any]:
    assert value is not None  # outputs are never freed
    return value.numpy().copy()


@click.command(help="Lists the MIL ops that the Core ML interpreter runs.")
@click.option("--coverage", "wanted", is_flag=True, help="Print the list.")
def command(wanted: bool) -> None:
    if not wanted:
        raise BadInput("say what to show: --coverage.")
    by_torch, by_inference = coverage()
    click.echo(f"By PyTorch ({len(by_torch)}): {', '.join(by_torch)}.")
    click.echo(f"By the op's own value_inference ({len(by_inference)}): {', '.join(by_inference)}.")
    click.echo("Weights (constexpr_*): unpacked once at load by the op's own materialized_val_inference.")
    click.echo("Every other op is an error that names it.")


main = cli_guard(command)

if __name__ == "__main__":
    sys.exit(main())

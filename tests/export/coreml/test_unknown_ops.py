"""Ops of a Core ML package that nothing here runs: named, in an export with exit code 4, and never skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from coremltools.converters.mil import Builder
from coremltools.converters.mil.mil import types

from lira_export.coreml.interpret import OpFailed, Program, coverage
from lira_export.coreml.inventory import read_inventory
from lira_export.coreml.ops import RULES
from lira_export.guard import COREML_OPS
from lira_export.target import Job
from lira_runtime.manifest import TargetName

DECODER = ("--config", "nano", "--component", "decoder", "--resolution", "64", "--target", "coreml")
FORGIVING = "--allow-parity-failure"
Run = Callable[..., tuple[int, str, str]]
Bundles = Callable[[str], dict[TargetName, Path]]


def saved(body: Callable[[Any], Any], shape: tuple[int, ...], package: Path) -> None:
    """Write a package whose one input, called latent, has the shape."""

    @Builder.program(input_specs=[Builder.TensorSpec(shape, types.fp32)], opset_version=ct.target.iOS17)
    def program(latent: Any) -> Any:
        return body(latent)

    target, precision = ct.target.iOS17, ct.precision.FLOAT32
    model = ct.convert(program, minimum_deployment_target=target, compute_precision=precision, skip_model_load=True)
    model.save(str(package))


def normalised(job: Job) -> None:
    """Put a package with an op that is neither on the guard's list nor run here in the place of the decoder's."""
    (latent,), (image,) = job.variants[64].inputs, job.variants[64].outputs

    def body(x: Any) -> Any:
        x = Builder.local_response_norm(x=x, size=3, name="culprit")
        mean = Builder.reduce_mean(x=x, axes=[1, 2, 3], keep_dims=True)
        return Builder.add(x=mean, y=np.zeros(image.shape, np.float32), name=image.name)

    saved(body, latent.shape, job.folder / "decoder.mlpackage")


def test_an_op_outside_the_list_stops_an_export_by_its_name(
    decoders: Bundles,
    write_copies: Callable[..., None],
    tmp_path: Path,
    run_export: Run,
) -> None:
    write_copies(decoders("int8")["coreml"], normalised)
    code, stdout, err = run_export(*DECODER, "--out", str(tmp_path / "bundle"), FORGIVING)
    assert (code, stdout) == (4, "") and "Traceback" not in err, err
    assert err.splitlines()[-1] == "error: decoder: the coreml graph holds local_response_norm, which it must not."
    assert list(tmp_path.iterdir()) == []


def test_an_op_on_the_list_that_the_interpreter_cannot_run_stops_an_export_by_its_name(
    decoders: Bundles,
    write_copies: Callable[..., None],
    tmp_path: Path,
    run_export: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_copies(decoders("int8")["coreml"])
    monkeypatch.delitem(RULES, "conv")  # type: ignore[arg-type]
    code, stdout, err = run_export(*DECODER, "--out", str(tmp_path / "bundle"), FORGIVING)
    assert (code, stdout) == (4, "") and "Traceback" not in err, err
    sentence = err.splitlines()[-1]
    assert sentence.startswith("error: decoder: the Core ML op conv '") and "is not implemented here" in sentence
    assert list(tmp_path.iterdir()) == []


def test_control_flow_is_refused_though_coremltools_infers_the_value_of_cond(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        positive = Builder.greater(x=Builder.reduce_sum(x=x, axes=[0]), y=np.float32(0))
        return Builder.cond(
            pred=positive, _true_fn=lambda: Builder.relu(x=x), _false_fn=lambda: Builder.exp(x=x), name="culprit"
        )

    saved(body, (3,), tmp_path / "model.mlpackage")
    with pytest.raises(OpFailed, match="op cond 'culprit' is not implemented here"):
        Program.load(tmp_path / "model.mlpackage")


@pytest.mark.parametrize("shape", [(2, 4), (1, 2, 2, 2, 1)])
def test_the_rank_of_a_tensor_between_ops_is_seen(shape: tuple[int, ...], tmp_path: Path) -> None:
    """coremltools itself refuses to write a sixth dimension."""

    def body(x: Any) -> Any:
        return Builder.reshape(x=Builder.exp(x=Builder.reshape(x=x, shape=shape)), shape=(8,))

    saved(body, (8,), tmp_path / "model.mlpackage")
    assert read_inventory(tmp_path / "model.mlpackage", "main").highest_rank == len(shape)
    with pytest.raises(ValueError, match="rank <= 5"):
        saved(lambda x: Builder.reshape(x=x, shape=(1, 2, 2, 2, 1, 1)), (8,), tmp_path / "six.mlpackage")


def test_the_interpreter_runs_every_op_of_the_guards_list() -> None:
    by_torch, by_inference = coverage()
    unpacked = {name for name in COREML_OPS if name.startswith("constexpr_")}
    assert COREML_OPS - unpacked <= {*by_torch, *by_inference}

"""In every format: a damaged file, one that is not quantized, and a failing converter, as `lira-export` meets them."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from lira_export.target import Job
from lira_export.targets import TARGETS
from lira_runtime.bundle import Bundle
from lira_runtime.manifest import TargetName

DECODER = ("--config", "nano", "--component", "decoder", "--resolution", "64")
FORGIVING = "--allow-parity-failure"
Run = Callable[..., tuple[int, str, str]]
Bundles = Callable[[str], dict[TargetName, Path]]


def add_to_one_weight(files: list[Path], row: NDArray[np.float32], amount: float) -> None:
    """Find the row's bytes, as float32 or float16, in one of the files, and change its first number there."""
    for path in files:
        data = path.read_bytes()
        for dtype in (np.float32, np.float16):
            stored = row.astype(dtype)
            if data.count(stored.tobytes()) == 1:
                changed = stored.copy()
                changed[0] += dtype(amount)
                path.write_bytes(data.replace(stored.tobytes(), changed.tobytes()))
                return
    raise AssertionError("the row is in none of the files")


def spoil(job: Job) -> None:
    """Add 4 to one weight of the decoder's last convolution, which stays float in int8; 48 inputs make a row."""
    row = job.models.decoder.get_parameter("head.1.weight")[0].detach().numpy().ravel()
    add_to_one_weight([path for path in job.folder.rglob("*") if path.is_file()], row, 4.0)


@pytest.mark.parametrize("target", TARGETS)
def test_one_weight_changed_in_the_file_fails_the_export_or_is_forgiven_aloud(
    target: TargetName, decoders: Bundles, write_copies: Callable[..., None], tmp_path: Path, run_export: Run
) -> None:
    out, whole = tmp_path / "bundle", decoders("int8")[target]
    arguments = (*DECODER, "--target", target, "--out", str(out))
    write_copies(whole)
    code, _, err = run_export(*arguments)
    assert code == 0 and "WARNING" not in err, err
    kept = Bundle.open(out).component("decoder").parity
    assert kept.passed and kept.psnr_db >= 45 == kept.threshold_db
    write_copies(whole, spoil)
    code, stdout, err = run_export(*arguments, "--force")
    assert (code, stdout) == (4, "") and "Traceback" not in err
    sentence = err.splitlines()[-1]
    assert sentence.startswith("error: decoder: recipe int8 keeps ") and "45 dB are needed" in sentence
    assert FORGIVING in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert Bundle.open(out).component("decoder").parity == kept, "a failed export replaced a good bundle"
    code, _, err = run_export(*arguments, "--force", FORGIVING)
    assert code == 0, err
    (warning,) = (line for line in err.splitlines() if line.startswith("WARNING: "))
    assert "decoder: recipe int8 keeps" in warning and "45 dB are needed" in warning
    written = Bundle.open(out).component("decoder").parity
    assert not written.passed and written.psnr_db < 35


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("recipe", "flags"), [("fp32", ()), ("fp16", (FORGIVING,))])
def test_a_file_that_is_not_quantized_is_never_forgiven(
    recipe: str,
    flags: tuple[str, ...],
    target: TargetName,
    decoders: Bundles,
    write_copies: Callable[..., None],
    tmp_path: Path,
    run_export: Run,
) -> None:
    write_copies(decoders(recipe)[target])
    code, stdout, err = run_export(*DECODER, "--target", target, "--out", str(tmp_path / "bundle"), *flags)
    assert (code, stdout) == (4, "")
    assert re.match(r"error: decoder: \d+% .* wider than int8, .*: the file is not quantized", err.splitlines()[-1]), (
        err
    )
    assert list(tmp_path.iterdir()) == []


def with_einsum(job: Job) -> None:
    """Let the picture come out of an Einsum that changes nothing."""
    model = onnx.load(job.folder / "decoder.onnx", load_external_data=False)
    (output,) = model.graph.output
    (last,) = (node for node in model.graph.node if output.name in node.output)
    last.output[0] = "before"
    model.graph.node.append(helper.make_node("Einsum", ["before"], [output.name], equation="bchw->bchw"))
    onnx.save(model, job.folder / "decoder.onnx")


class RunningSum(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return latent.cumsum(-1)


def with_cumsum(job: Job) -> None:
    """Put a file in its place that has such an op."""
    from lira_export.tflite.convert import to_tflite

    component = replace(job.variants[64], eager=RunningSum(), traceable=RunningSum())
    to_tflite({"main": component}, job.folder / "decoder.tflite")


@pytest.mark.parametrize(
    ("target", "spoil", "kind"), [("onnx", with_einsum, "Einsum"), ("tflite", with_cumsum, "CUMSUM")]
)
def test_an_op_that_nobody_has_looked_at_is_never_forgiven(
    target: TargetName,
    spoil: Callable[[Job], None],
    kind: str,
    decoders: Bundles,
    write_copies: Callable[..., None],
    tmp_path: Path,
    run_export: Run,
) -> None:
    """Core ML's is in `coreml/test_unknown_ops.py`."""
    write_copies(decoders("int8")[target], spoil)
    code, stdout, err = run_export(*DECODER, "--target", target, "--out", str(tmp_path / "bundle"), FORGIVING)
    assert (code, stdout) == (4, "") and "Traceback" not in err
    assert err.splitlines()[-1] == f"error: decoder: the {target} graph holds {kind}, which it must not."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("onnx", "lira_export.onnx.convert.torch.onnx.export"),
        ("onnx", "lira_export.passes.simplify.onnxsim.simplify"),
        ("coreml", "lira_export.coreml.target.converted"),
        ("tflite", "lira_export.tflite.convert.litert_torch.signature"),
    ],
)
def test_a_converters_failure_is_one_sentence_that_names_its_log(
    target: TargetName, place: str, tmp_path: Path, run_export: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **keywords: Any) -> None:
        raise NotImplementedError("no lowering for frobnicate")

    logs = tmp_path / "logs"
    logs.mkdir()
    monkeypatch.setattr(place, fail)
    monkeypatch.setattr(tempfile, "tempdir", str(logs))
    code, stdout, err = run_export(*DECODER, "--target", target, "--out", str(tmp_path / "bundle"))
    assert (code, stdout) == (2, "") and "Traceback" not in err
    found = re.fullmatch(r"error: decoder could not be converted .*; the traceback is in (.*)\.", err.splitlines()[-1])
    assert found is not None, err
    assert "NotImplementedError: no lowering for frobnicate" in Path(found[1]).read_text()
    assert list(tmp_path.iterdir()) == [logs] and list(logs.iterdir()) == [Path(found[1])]

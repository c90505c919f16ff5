"""`lira-export` as a user types it: what it refuses, and that nothing is left behind."""

import json
from pathlib import Path

import pytest

from lira.checkpoint import save_module, save_tensors
from lira_export import cli
from lira_export.sources import WEIGHT_FILES, Models
from lira_runtime import manifest
from lira_runtime.bundle import Bundle

SMALL = ["--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo"]


def run(*arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["lira-export", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "tensorrt", "--config", "nano"], "Unknown target 'tensorrt'"),
        (["--target", "onnx", "--config", "huge"], "Unknown config 'huge'"),
        (["--target", "onnx", "--config", "nano", "--latent", "f9"], "Unknown latent kind 'f9'"),
        (["--target", "onnx", "--config", "nano", "--component", "unet"], "Unknown component 'unet'"),
        (["--target", "onnx", "--config", "nano", "--recipe", "int3"], "Unknown recipe 'int3'"),
        (["--target", "onnx", "--config", "nano", "--text-encoder", "t5"], "Unknown text encoder 't5'"),
        ([*SMALL[:6], "--resolution", "100", "--text-encoder", "demo"], "100 x 100 px does not fit f8c4"),
        ([*SMALL[:6], "--resolution", "1040", "--text-encoder", "demo"], "multiples of 32"),
        ([*SMALL[:6], "--resolution", "0", "--text-encoder", "demo"], "--resolution"),
        ([*SMALL, "--seed", "seven"], "seven"),
        ([*SMALL, "--seed", "-1"], "-1"),
        ([*SMALL, "--checkpoint", "/nowhere"], "/nowhere is not a directory"),
        (["--config", "nano"], "--target"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "bundle"
    code, _, err = run(*arguments, "--out", str(out), capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ") and sentence in last and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "thesis.txt").write_text("three years")
    code, _, err = run(*SMALL, "--out", str(tmp_path), "--force", capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2 and "not a bundle" in err
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_a_second_export_needs_force(
    bundle_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (bundle_folder / "manifest.json").read_bytes()
    code, _, err = run(*SMALL, "--out", str(bundle_folder), capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2 and "already holds a bundle" in err
    assert (bundle_folder / "manifest.json").read_bytes() == before


def test_a_dry_run_says_what_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle"
    code, stdout, err = run(*SMALL, "--dry-run", "--out", str(out), capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0 and not out.exists()
    assert "NO WEIGHTS" in err and "denoiser: " in stdout and "parameters" in stdout


def write_checkpoint(models: Models, folder: Path) -> None:
    save_module(models.denoiser, folder / "denoiser.safetensors", next(models.denoiser.parameters()).dtype)
    save_module(models.decoder, folder / "decoder.safetensors", next(models.decoder.parameters()).dtype)
    save_module(models.text_encoder, folder / "text_encoder.safetensors", next(models.text_encoder.parameters()).dtype)


def test_a_checkpoint_exports_the_component_asked_for_as_a_partial_bundle(
    small_models: Models, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "bundle"
    checkpoint.mkdir()
    write_checkpoint(small_models, checkpoint)
    arguments = [*SMALL, "--checkpoint", str(checkpoint), "--component", "decoder", "--json", "--out", str(out)]
    code, stdout, err = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0 and "NO WEIGHTS" not in err
    assert {json.loads(line)["event"] for line in err.splitlines()} == {"progress"}
    result = json.loads(stdout)
    assert result["event"] == "result" and result["bundle"] == str(out)
    written = Bundle.open(out).manifest
    assert written.partial and [component.name for component in written.components] == ["decoder"]
    assert written.source.weights == "checkpoint"


@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_a_damaged_or_missing_checkpoint_file_is_named(
    name: str,
    small_models: Models,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_checkpoint(small_models, tmp_path)
    path, out = tmp_path / name, tmp_path / "bundle"
    arguments = [*SMALL, "--checkpoint", str(tmp_path), "--out", str(out)]
    path.write_bytes(path.read_bytes()[:1000])
    code, _, err = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2 and name in err and not out.exists()
    save_tensors(path, {"unknown": next(small_models.decoder.parameters())})
    code, _, err = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2 and name in err and not out.exists()
    path.unlink()
    code, _, err = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2 and name in err and not out.exists()


def test_the_manifest_says_where_the_weights_came_from(bundle_folder: Path) -> None:
    written = manifest.load(bundle_folder)
    assert (written.source.weights, written.source.seed, written.preset) == ("seed", 5, "nano")
    assert {"torch", "onnx", "onnxruntime", "onnxsim"} <= written.tools.keys()
    assert written.resolution == 64 and written.latent.name == "f8c4"


def test_exported_graphs_load_in_onnxruntime_1_22(bundle_folder: Path) -> None:
    import onnx

    for path in bundle_folder.glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        assert model.ir_version <= 10
        assert {opset.domain: opset.version for opset in model.opset_import}[""] == 20
        assert {node.domain for node in model.graph.node} == {""}
        assert not {node.op_type for node in model.graph.node} & {"Loop", "Scan", "If", "CumSum", "Einsum"}

"""`lira-train` as it is called: a denoiser from encoded data to weights, and data that lie at a URL."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from event_lines import read_events
from PIL import Image

from lira.checkpoint import read_metadata
from lira.data.synthetic import SyntheticData
from lira.model import load_denoiser
from lira.training import constant, decoder, denoiser, student
from lira.training.cli import command, main
from lira.training.watch import read_curve

SAMPLES = 4


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """Encoded data in one shard, written by NumPy and tarfile."""
    folder, data = tmp_path / "far", SyntheticData("demo", 64, 32, SAMPLES)
    folder.mkdir()
    files = {}
    for index in range(SAMPLES):
        latent, text = data.read(index)
        files |= {f"{index}.latent.npy": npy(latent.numpy()), f"{index}.text.npy": npy(text.numpy())}
    write_tar(folder / "00000.tar", files)
    (folder / "empty.npy").write_bytes(npy(data.empty_state.numpy()))
    (folder / "dataset.json").write_bytes(msgspec.json.encode(data.description))
    return folder


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array.astype(np.float16))
    return file.getvalue()


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def lira_train(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[str]]:
    """Exit code, and lines of stdout, or of stderr where it failed."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    said, code = capsys.readouterr(), int(ended.value.code or 0)
    return code, (said.err if code else said.out).splitlines()


def test_a_denoiser_is_trained_on_encoded_data_and_goes_on_by_resume_alone(
    far: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["denoiser", "--data", far, "--out", out, "--threads", 1, "--json"]
    small = ["model.latent=demo", "stages.0.batch=2", "run.log_every=1", "run.bf16=false", "optimiser.warmup_steps=1"]
    overrides = [word for value in (*small, "stages.0.steps=2") for word in ("--set", value)]
    code, lines = lira_train(capsys, *words, "--recipe", "smoke", *overrides)
    *told, result = read_events("\n".join(lines))
    assert code == 0 and (result["command"], result["out"]) == ("lira-train", str(out))
    assert [(line["event"], line["step"], line["steps"]) for line in told] == [("train", 1, 2), ("train", 2, 2)]
    code, lines = lira_train(capsys, *words, "--resume", "--set", "stages.0.steps=3")
    *told, _ = read_events("\n".join(lines))
    assert code == 0
    assert [line.get("text") for line in told] == ["stages.0.steps was 2 and is 3 from here on.", None]
    assert (told[1]["event"], told[1]["step"], told[1]["steps"]) == ("train", 3, 3)
    points = read_curve(out / "curve.jsonl")
    assert [point["step"] for point in points] == [1, 2, 3]
    assert points[0]["seconds"] <= points[1]["seconds"] <= points[2]["seconds"]
    assert read_metadata(out / "denoiser.safetensors")["d_text"] == "32"
    network = load_denoiser(out / "denoiser.safetensors")
    assert (network.in_channels, network.patch_size, network.d_text) == (4, 4, 32)
    (far / "00000.tar").unlink()
    code, lines = lira_train(capsys, *words, "--resume", "--set", "stages.0.steps=4")
    assert code == 2 and lines[-1].startswith("error: ") and "00000.tar" in lines[-1]


def test_a_file_is_no_folder_to_train_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    code, lines = lira_train(capsys, "text", "--out", tmp_path / "file")
    assert code == 2 and "'--out': Directory" in lines[-1] and "is a file" in lines[-1]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Arguments with which a training's `run` is called, in place of training."""
    calls: list[Any] = []

    def run(*arguments: Any, **named: Any) -> constant.Comparison:
        calls.extend(arguments)
        return constant.Comparison(0.0, 0.0)

    for module in (student, constant, denoiser, decoder):
        monkeypatch.setattr(module, "run", run)
    return calls


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("student", "--teacher", "t"), lambda taken: taken[1]),
        (("constant", "--denoiser", "d", "--steps", "1"), lambda taken: taken[2]),
        (("denoiser", "--recipe", "demo"), lambda taken: taken[1][0]),
    ],
)
def test_encoded_data_at_a_url_reach_the_training(
    far: Path, tmp_path: Path, taken: list[Any], arguments: tuple[str, ...], found: Callable[[list[Any]], Any]
) -> None:
    options = ("--data", f"file://{far}", "--out", str(tmp_path / "out"))
    refused = CliRunner().invoke(command, [*arguments, *options])
    assert "cache folder" in str(refused.exception) and not taken
    done = CliRunner().invoke(command, [*arguments, *options, "--cache", str(tmp_path / "cache")])
    assert done.exit_code == 0, done.exception
    wanted = SyntheticData("demo", 64, 32).read(2)
    latent, text = found(taken).read(2)
    assert np.array_equal(latent.numpy(), wanted[0].half().float().numpy())
    assert np.array_equal(text.numpy(), wanted[1].half().float().numpy())
    assert list((tmp_path / "cache").rglob("*.tar"))


def test_pictures_at_a_url_reach_the_decoders_training(tmp_path: Path, taken: list[Any]) -> None:
    picture, file = np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8), io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    write_tar(tmp_path / "0.tar", {"a.png": file.getvalue(), "a.txt": b"noise"})
    url = f"file://{tmp_path}/0.tar"
    options = ["--encoder", "e", "--images", url, "--held-out", url, "--set", "resolution=192", "--out", str(tmp_path)]
    done = CliRunner().invoke(command, ["decoder", *options, "--cache", str(tmp_path / "cache")])
    assert done.exit_code == 0, done.exception
    for source in taken[3:5]:
        assert np.array_equal(source.picture(0).pixels, picture)

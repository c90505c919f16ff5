"""An interrupted or repeated export makes anew only what changed, and never takes what is damaged."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from event_lines import named, read_events
from toy_bundle import write_toy_bundle

from lira.sources import Models
from lira_export.bundle import eager_drawing
from lira_export.drawing import Drawing
from lira_export.kept import RECORD, Kept
from lira_export.memory.predict import StageMemory
from lira_export.references import References
from lira_export.target import Job
from lira_runtime import manifest
from lira_runtime.bundle import Bundle
from lira_runtime.files import sha256_of
from lira_runtime.loaded import StageRun
from lira_runtime.manifest import Component, FileEntry, Memory

SMALL = ("--target", "onnx", "--config", "nano", "--latent", "f8c4", "--resolution", "64", "--text-encoder", "demo")
SMALL += ("--seed", "5")  # of the shared bundle
KILLED_IN_THE_SECOND = """
import os, signal, sys
from lira_export import cli
from lira_export.onnx.target import OnnxTarget

honest, begun = OnnxTarget.write, []

def write(self, job):
    begun.append(job.name)
    if len(begun) == 2:
        (job.folder / f"{job.name}.onnx").write_bytes(b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(self, job)

OnnxTarget.write = write
cli.main()
"""
TWO = ("--component", "text_encoder", "--component", "denoiser")
MEASURED = StageRun(idle=0, load_peak=1, loaded=1, run_peak=7, held=1, unloaded=0, library=0)
KEY, NAME = "5" * 64, "decoder"
Run = Callable[..., tuple[int, str, str]]


def hashes(bundle: Path) -> dict[str, str]:
    return {entry.path: entry.sha256 for entry in manifest.load(bundle).files()}


def reused(stdout: str) -> list[tuple[str, bool]]:
    """The components in the order in which they were there, and whether they were before; of --json."""
    return [(each["name"], each["reused"]) for each in named(read_events(stdout), "component")]


def test_an_export_that_was_killed_goes_on_where_it_was(bundle_folder: Path, tmp_path: Path, run_export: Run) -> None:
    out = tmp_path / "bundle"
    command = [sys.executable, "-c", KILLED_IN_THE_SECOND, *SMALL, "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert killed.returncode == -9 and "denoiser: made\n" in killed.stderr, killed.stderr
    left = {path.name.partition(".part")[1] or path.name for path in tmp_path.iterdir()}
    assert left == {".lira-bundle.kept", ".lira-bundle.lock", ".part"}
    code, stdout, err = run_export(*SMALL, "--out", str(out), "--json")
    assert code == 0, err
    assert reused(stdout) == [("denoiser", True), ("text_encoder", False), ("decoder", False)]
    assert hashes(out) == hashes(bundle_folder) and Bundle.open(out).digest
    assert sorted(os.listdir(tmp_path)) == ["bundle", "bundle-drift.png"]


@pytest.fixture
def quick_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started to measure, and what is predicted depends on the recipe's name alone."""
    monkeypatch.setattr("lira_export.gates.run_stage", lambda *asked: MEASURED)
    monkeypatch.setattr(
        "lira_export.making.predict_stage", lambda network, load: StageMemory(0, 0, len(load.recipe.name), 0, 0)
    )


@pytest.mark.usefixtures("quick_memory")
def test_a_changed_recipe_makes_its_components_anew_and_force_all(
    bundle_folder: Path, write_copies: Callable[..., None], tmp_path: Path, run_export: Run
) -> None:
    out, written = tmp_path / "bundle", []
    write_copies(bundle_folder, lambda job: written.append(job.name))
    arguments = (*SMALL, *TWO, "--out", str(out), "--json")
    everything = [("denoiser", False), ("text_encoder", False)]
    assert reused(run_export(*arguments)[1]) == everything
    first = Bundle.open(out).digest
    assert run_export(*arguments)[0] == 2 and len(written) == 2
    assert reused(run_export(*arguments, "--overwrite")[1]) == [("denoiser", True), ("text_encoder", True)]
    assert Bundle.open(out).digest == first and len(written) == 2
    code, stdout, err = run_export(*arguments, "--overwrite", "--recipe", "int8-dynamic")
    assert code == 0 and reused(stdout) == [("denoiser", False), ("text_encoder", True)], err
    assert written[2:] == ["denoiser"]
    second = Bundle.open(out).manifest.components
    assert {component.recipe for component in second} == {"int8-dynamic"}
    assert {component.graphs[0].memory for component in second} == {
        Memory(
            predicted_bytes=len("int8-dynamic"),
            weights_bytes=0,
            activations_bytes=len("int8-dynamic"),
            runtime_bytes=0,
            measured_bytes=MEASURED.peak_bytes,
        )
    }
    code, stdout, _ = run_export(*arguments, "--force", "--recipe", "int8-dynamic")
    assert code == 0 and reused(stdout) == everything
    assert os.listdir(tmp_path) == ["bundle"]


@pytest.mark.usefixtures("quick_memory")
def test_a_damaged_component_of_an_older_bundle_is_made_anew_with_a_notice(
    bundle_folder: Path, write_copies: Callable[..., None], tmp_path: Path, run_export: Run
) -> None:
    out = tmp_path / "bundle"
    write_copies(bundle_folder)
    run_export(*SMALL, *TWO, "--out", str(out))
    before, data = hashes(out), bytearray((out / "text_encoder.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "text_encoder.onnx").write_bytes(data)
    code, _, err = run_export(*SMALL, *TWO, "--out", str(out), "--overwrite")
    assert code == 0 and f"text_encoder: what is kept of it in {out} is damaged, so it is made anew\n" in err
    assert [line for line in err.splitlines() if line.endswith((": made", ": kept from before"))] == [
        "denoiser: kept from before",
        "text_encoder: made",
    ]
    assert hashes(out) == before and Bundle.open(out).digest


@pytest.mark.usefixtures("quick_memory")
def test_a_kept_component_that_lost_too_much_is_forgiven_only_where_that_is_asked(
    bundle_folder: Path, write_copies: Callable[..., None], tmp_path: Path, run_export: Run
) -> None:
    """Kept by an export that forgave it and was stopped, and then asked for by one that does not."""

    def stop_at_the_last(job: Job) -> None:
        if job.name == "decoder":
            raise KeyboardInterrupt
        data = job.folder / "denoiser.onnx.data"
        if job.name == "denoiser":
            data.write_bytes(bytes(len(data.read_bytes())))

    arguments = (*SMALL, "--out", str(tmp_path / "bundle"))
    write_copies(bundle_folder, stop_at_the_last)
    assert run_export(*arguments, "--allow-parity-failure")[0] == 130
    code, _, err = run_export(*arguments)
    assert code == 4 and "error: denoiser: recipe int8 keeps" in err and "denoiser: made" not in err


@pytest.fixture
def component(tmp_path: Path) -> Component:
    """A record of a component of two files, which lie in `made`."""
    write_toy_bundle(tmp_path / "toy")
    files = {"decoder.onnx": b"graph" * 100, "decoder.mlpackage/Data/weights": b"weights" * 100}
    for name, data in files.items():
        path = tmp_path / "made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    entries = tuple(
        FileEntry(path=name, bytes=len(data), sha256=sha256_of(tmp_path / "made" / name))
        for name, data in files.items()
    )
    return msgspec.structs.replace(manifest.load(tmp_path / "toy").components[2], files=entries, key=KEY)


def take(tmp_path: Path, key: str = KEY, name: str = NAME) -> tuple[Component | None, list[str], list[str]]:
    """What is taken, what is said, and the files that are there afterwards."""
    said: list[str] = []
    folder = tmp_path / "part"
    folder.mkdir()
    found = Kept(tmp_path / "bundle").take(key, name, folder, said.append)
    return found, said, sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("links", [True, False])
def test_what_is_kept_outlives_the_folder_that_it_was_made_in(
    links: bool, component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    Kept(tmp_path / "bundle").keep(KEY, component, tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "gone")
    found, said, files = take(tmp_path)
    assert found == component and said == [] and files == sorted(file.path for file in component.files)
    assert all(sha256_of(tmp_path / "part" / file.path) == file.sha256 for file in component.files)
    ours = (tmp_path / "gone" / "decoder.onnx").stat().st_ino
    assert (ours == (tmp_path / "part" / "decoder.onnx").stat().st_ino) == links


def test_only_the_very_key_is_taken(component: Component, tmp_path: Path) -> None:
    Kept(tmp_path / "bundle").keep(KEY, component, tmp_path / "made")
    assert take(tmp_path, "6" * 64) == (None, [], [])
    assert Kept(tmp_path / "other").take(KEY, NAME, tmp_path / "part", print) is None


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    data = change(path.read_bytes())
    path.unlink()
    path.write_bytes(data)


def with_path(path: str, absolute: bool = False) -> Callable[[Path], None]:
    """Give the first file in the record another path, where a file of the same content lies."""

    def change(folder: Path) -> None:
        place = folder / path
        place.write_bytes((folder / "decoder.onnx").read_bytes())
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=Component)
        moved = msgspec.structs.replace(record.files[0], path=str(place.resolve()) if absolute else path)
        (folder / RECORD).write_bytes(msgspec.json.encode(msgspec.structs.replace(record, files=(moved,))))

    return change


DAMAGES: dict[str, Callable[[Path], object]] = {
    "bit": lambda folder: rewrite(folder / "decoder.onnx", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "short": lambda folder: rewrite(folder / "decoder.onnx", lambda data: data[:-1]),
    "missing": lambda folder: (folder / "decoder.mlpackage/Data/weights").unlink(),
    "no record": lambda folder: (folder / RECORD).unlink(),
    "half a record": lambda folder: rewrite(folder / RECORD, lambda data: data[: len(data) // 2]),
    "another's": lambda folder: rewrite(folder / RECORD, lambda data: data.replace(b'"decoder"', b'"denoiser"')),
    "outside": with_path("../outside"),
    "absolute": with_path("../outside", absolute=True),
    "link": lambda folder: (
        (folder / "decoder.onnx").rename(folder / "x"),
        (folder / "decoder.onnx").symlink_to(folder / "x"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_anew_with_a_notice_and_kept_again(
    damage: str, component: Component, tmp_path: Path
) -> None:
    kept = Kept(tmp_path / "bundle")
    kept.keep(KEY, component, tmp_path / "made")
    folder = tmp_path / ".lira-bundle.kept" / KEY
    sound = (tmp_path / "made" / "decoder.onnx").read_bytes()
    DAMAGES[damage](folder)
    sentence = f"decoder: what is kept of it in {folder} is damaged, so it is made anew"
    assert take(tmp_path) == (None, [sentence], [])
    assert (tmp_path / "made" / "decoder.onnx").read_bytes() == sound
    kept.keep(KEY, component, tmp_path / "made")
    (tmp_path / "part").rename(tmp_path / "first")
    assert take(tmp_path)[0] == component


def test_what_was_kept_half_goes_and_what_was_kept_whole_goes_when_all_is_anew(
    component: Component, tmp_path: Path
) -> None:
    Kept(tmp_path / "bundle").keep(KEY, component, tmp_path / "made")
    half = tmp_path / ".lira-bundle.kept" / f".lira-{KEY}.abcdefgh.part"
    half.mkdir()
    Kept(tmp_path / "bundle")
    assert os.listdir(tmp_path / ".lira-bundle.kept") == [KEY]
    Kept(tmp_path / "bundle", anew=True)
    assert take(tmp_path) == (None, [], [])


def test_the_eager_drawing_is_kept_by_its_key_and_drawn_anew_where_it_is_damaged(
    bundle_folder: Path, small_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, kept, drawn = Bundle.open(bundle_folder), Kept(tmp_path / "bundle"), []
    stand_in = Drawing(tuple(np.full((1, 16, 8, 8), step, np.float32) for step in range(3)), np.eye(3, dtype="u1"), ())
    monkeypatch.setattr(References, "drawing", lambda self, bundle: drawn.append(self) or stand_in)
    for _ in range(2):
        found = eager_drawing(bundle, References(small_models, (64,)), kept)
        assert np.array_equal(found.x0, stand_in.x0) and np.array_equal(found.image, stand_in.image)
        assert found.image.dtype == np.uint8 and len(drawn) == 1
    eager_drawing(bundle, References(small_models, (64, 128)), kept)
    assert len(drawn) == 1, "the drawing is at the first resolution"
    (folder,) = (tmp_path / ".lira-bundle.kept").iterdir()
    rewrite(folder / "drawing.npz", lambda data: data[:-1] + b"x")
    eager_drawing(bundle, References(small_models, (64,)), kept)
    assert len(drawn) == 2
    kept.clear()
    eager_drawing(bundle, References(small_models, (64,)), kept)
    assert len(drawn) == 3

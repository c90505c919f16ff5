"""Encoded folders hold what the encoders give for each picture, and are the same however often a run is killed."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from event_lines import named, read_events
from PIL import Image

from lira.autoencoder import DemoEncoder, load_encoder
from lira.checkpoint import save_module
from lira.data import encode, encoding
from lira.data.emoji import EmojiSet
from lira.data.shards import ShardSet, check_loss
from lira.data.sources import Picture, SceneSource
from lira.data.stream import EncodedData
from lira.latents import LATENT_KINDS
from lira.text import TextEncoder, load_text_encoder
from lira_runtime.errors import BadInput
from lira_runtime.tokenizer import ClipTokenizer


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random demo encoders."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_module(DemoEncoder(LATENT_KINDS["demo"]), folder / "encoder.safetensors", torch.float32, {"kind": "demo"})
    save_module(TextEncoder("demo"), folder / "text.safetensors", torch.float32)
    return folder


def arguments(weights: Path, out: Path, *more: object) -> list[str]:
    encoders = ("--encoder", weights / "encoder.safetensors", "--text-encoder", weights / "text.safetensors")
    return [str(word) for word in (*encoders, "--threads", 1, "--batch", 4, "--out", out, *more)]


def scene_arguments(weights: Path, emoji: Path, out: Path, *more: object) -> list[str]:
    return arguments(weights, out, "--scenes", "--emoji", emoji, "--count", 24, "--shard-size", 4, *more)


def run(words: list[str]) -> int:
    with pytest.raises(SystemExit) as end:
        encode.main(words)
    return int(end.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def image_shard(path: Path, sides: list[int], caption: str = "picture") -> str:
    """A shard with one black image of each side in px, and captions."""
    with tarfile.open(path, "w") as archive:
        for number, side in enumerate(sides):
            file = io.BytesIO()
            Image.new("RGB", (side, side)).save(file, "PNG")
            for name, content in ((f"{number}.png", file.getvalue()), (f"{number}.txt", caption.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_a_sample_is_what_the_encoders_give_for_its_picture_alone(
    weights: Path, emoji_folder: Path, emoji: EmojiSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(scene_arguments(weights, emoji_folder, out, "--seed", 3, "--json")) == 0
    *progress, result = read_events(capsys.readouterr().out)
    assert result["samples"] == progress[-1]["done"] == 24
    data, source = EncodedData(out), SceneSource(emoji, 24, seed=3)
    image, text = (
        load_encoder(weights / "encoder.safetensors"),
        load_text_encoder("demo", weights / "text.safetensors"),
    )
    tokenizer = ClipTokenizer.vendored()
    assert (len(data), data.kind.name, data.size, data.text_preset, data.d_text) == (24, "demo", 256, "demo", 192)
    with torch.no_grad():
        for index in (0, 13, 23):
            picture = source.picture(index)
            latent, states = data.read(index)
            alone = image(torch.from_numpy(picture.pixels.copy()).permute(2, 0, 1)[None] / 255)[0]
            torch.testing.assert_close(latent, alone, rtol=1e-3, atol=1e-4)
            spoken = text(torch.from_numpy(tokenizer.encode(picture.caption).ids))[0]
            torch.testing.assert_close(states, spoken, rtol=1e-3, atol=1e-4)
        empty = text(torch.from_numpy(tokenizer.encode("").ids))[0]
    torch.testing.assert_close(data.empty_state, empty, rtol=1e-3, atol=1e-4)
    files = ShardSet(str(out / "00005.tar")).read(3)
    assert files["txt"].decode() == source.picture(23).caption


def test_a_shard_is_counted_once_and_a_file_is_no_folder_to_write_to(
    weights: Path, emoji_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        assert run(scene_arguments(weights, emoji_folder, out, "--count", 8)) == 0
        assert sum("encode 8/8" in line for line in capsys.readouterr().err.splitlines()) == 1
    assert run(scene_arguments(weights, emoji_folder, out / "empty.npy")) == 2
    assert "'--out': Directory" in (error := capsys.readouterr().err) and "is a file" in error


def test_one_bad_shard_of_the_usual_number_of_pictures_is_borne() -> None:
    usual = {option.name: option.default for option in encode.command.params}
    check_loss(usual["shard_size"], usual["count"], "samples")


def test_two_processes_write_what_one_writes(
    weights: Path, emoji_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        words = scene_arguments(weights, emoji_folder, tmp_path / name, "--count", 10, "--processes", processes)
        assert run(words) == 0
        assert sum("encode 10/10" in line for line in capsys.readouterr().err.splitlines()) == 1
    assert len(contents(tmp_path / "one")) == 6 and contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_killed_run_goes_on_and_gives_the_same_bytes(weights: Path, emoji_folder: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(scene_arguments(weights, emoji_folder, whole)) == 0
    command = [sys.executable, "-m", "lira.data.encode", *scene_arguments(weights, emoji_folder, cut)]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (cut / "00000.tar").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(worker.pid, signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    (cut / ".lira-dead.part").write_bytes(b"half a shard")
    first = (cut / "00000.tar").stat().st_mtime_ns
    assert not (cut / "00005.tar").exists()
    assert run(scene_arguments(weights, emoji_folder, cut)) == 0
    assert contents(cut) == contents(whole)
    assert (cut / "00000.tar").stat().st_mtime_ns == first


def test_a_complete_folder_is_left_alone_and_another_request_for_it_refused(
    weights: Path, emoji_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    small = ("--count", 8)
    assert run(scene_arguments(weights, emoji_folder, out, *small)) == 0
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(scene_arguments(weights, emoji_folder, out, *small)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert run(scene_arguments(weights, emoji_folder, out, *small, "--seed", 1)) == 2
    assert "begun with another source" in capsys.readouterr().err
    assert run(scene_arguments(weights, emoji_folder, out, *small, "--shard-size", 8)) == 2
    assert "begun with another shard_size (4, now 8)" in capsys.readouterr().err


def test_a_full_disk_leaves_the_finished_shards_and_a_later_run_goes_on(
    weights: Path,
    emoji_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    assert run(scene_arguments(weights, emoji_folder, whole)) == 0
    add, added = encoding._add, []

    def add_until_full(archive: tarfile.TarFile, name: str, content: bytes) -> None:
        added.append(name)
        if len(added) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        add(archive, name, content)

    monkeypatch.setattr(encoding, "_add", add_until_full)
    assert run(scene_arguments(weights, emoji_folder, full)) == 2
    assert "disk is full" in capsys.readouterr().err
    assert contents(full).keys() == {"dataset.json", "empty.npy", "shards.json", "00000.tar"}
    monkeypatch.undo()
    assert run(scene_arguments(weights, emoji_folder, full)) == 0
    assert contents(full) == contents(whole)


def test_one_unusable_image_of_a_hundred_is_skipped_two_are_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--size", 64, "--shard-size", 50, "--images")
    one = image_shard(tmp_path / "one.tar", [64] * 70 + [63] + [64] * 29)
    assert run(arguments(weights, tmp_path / "one", *options, one)) == 0
    said = capsys.readouterr()
    assert "warning: skipped: one.tar:70 is 63 x 63 px, smaller than 64 px." in said.err
    assert "99 samples in 2 shards, 1 skipped" in said.out
    data = EncodedData(tmp_path / "one")
    assert (len(data), data.size) == (99, 64)
    assert np.isfinite(data.read(98)[0].numpy()).all()
    two = image_shard(tmp_path / "two.tar", [64] * 98 + [63, 40])
    assert run(arguments(weights, tmp_path / "two", *options, two, "--json")) == 2
    said = capsys.readouterr()
    assert "2 of 100 pictures cannot be used, more than 1%" in said.err
    warnings = [each["text"] for each in named(read_events(said.out), "note")]
    assert [text.split()[1] for text in warnings] == ["two.tar:98", "two.tar:99"]


def test_remote_images_are_encoded_through_the_cache(weights: Path, tmp_path: Path) -> None:
    image_shard(tmp_path / "0.tar", [64, 70])
    options = ("--size", 64, "--images", f"file://{tmp_path}/*.tar", "--cache", tmp_path / "cache")
    assert run(arguments(weights, tmp_path / "out", *options)) == 0
    assert len(EncodedData(tmp_path / "out")) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "either --scenes or --images"),
        (["--scenes", "--images", "x.tar"], "either --scenes or --images"),
        (["--scenes"], "--scenes needs --emoji"),
        (["--scenes", "--emoji", "none.tgz"], "No emoji package"),
        (["--scenes", "--emoji", "none.tgz", "--size", "512"], "--size is for images"),
        (["--scenes", "--emoji", "none.tgz", "--centred", "0.6", "--placed", "0.6"], "shares of 1"),
        (["--images", "none/*.tar"], "No shards"),
        (["--images", "x.tar", "--latent", "f9"], "Unknown latent kind"),
        (["--images", "x.tar", "--device", "abacus"], "cannot compute on 'abacus'"),
        (["--images", "x.tar", "--count", "0"], "--count"),
    ],
)
def test_a_wrong_request_ends_in_one_sentence(
    weights: Path, tmp_path: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(weights, tmp_path / "out", *words)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_and_a_picture_that_does_not_fit_are_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = image_shard(tmp_path / "0.tar", [128])
    assert run(arguments(weights, tmp_path, "--images", images, "--size", 64)) == 2
    assert "not empty and holds no encoded data" in capsys.readouterr().err
    assert run(arguments(weights, tmp_path / "out", "--images", images, "--size", 100)) == 2
    assert "multiples of 32" in capsys.readouterr().err


def test_another_set_of_as_many_images_is_refused(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (image_shard(tmp_path / f"{caption}.tar", [64], caption) for caption in ("cat", "giraffe"))
    assert run(arguments(weights, tmp_path / "out", "--size", 64, "--images", one)) == 0
    before = contents(tmp_path / "out")
    assert run(arguments(weights, tmp_path / "out", "--size", 64, "--images", other)) == 2
    assert "begun with another source" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before


def test_latents_that_are_no_numbers_are_refused() -> None:
    class Broken(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :1] / 0

    encoders = encoding.Encoders(LATENT_KINDS["demo"], Broken(), TextEncoder("demo"), ClipTokenizer.vendored(), "cpu")
    with pytest.raises(BadInput, match="near 00000007"):
        encoders.latents([Picture("00000007", np.ones((32, 32, 3), np.uint8), "a")])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20_000] ^= 1
    path.write_bytes(content)


def test_shards_that_are_lost_cut_or_changed_are_written_again_and_no_others(
    weights: Path, emoji_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(scene_arguments(weights, emoji_folder, out)) == 0
    before = contents(out)
    for number, damage in ((0, Path.unlink), (2, cut), (5, flip_a_bit)):
        damage(out / f"{number:05d}.tar")
    (out / "empty.npy").unlink()
    times = {name: (out / name).stat().st_mtime_ns for name in ("00001.tar", "00003.tar", "shards.json")}
    assert run(scene_arguments(weights, emoji_folder, out)) == 0
    assert contents(out) == before
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times


@pytest.mark.parametrize("complete", [True, False])
def test_an_older_folder_is_completed_and_its_shards_recorded(
    weights: Path, emoji_folder: Path, tmp_path: Path, complete: bool
) -> None:
    out = tmp_path / "out"
    assert run(scene_arguments(weights, emoji_folder, out, "--count", 8)) == 0
    before = contents(out)
    (out / "shards.json").unlink()
    description = json.loads(before["dataset.json"])
    del description["cut"]
    if not complete:
        description["samples"] = 0
        cut(out / "00001.tar")
    (out / "dataset.json").write_text(json.dumps(description))
    first = (out / "00000.tar").stat().st_mtime_ns
    assert run(scene_arguments(weights, emoji_folder, out, "--count", 8)) == 0
    assert contents(out) == before
    assert (out / "00000.tar").stat().st_mtime_ns == first
    records = json.loads(before["shards.json"])
    assert [record["sha256"] for record in records] == [
        hashlib.sha256(before[f"{number:05d}.tar"]).hexdigest() for number in range(2)
    ]


def test_nothing_is_deleted_in_a_folder_of_something_else(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = image_shard(tmp_path / "0.tar", [64])
    other, own = tmp_path / "other", tmp_path / "own"
    for folder in (other, own):
        (folder / ".lira-directory.part").mkdir(parents=True)
        (folder / ".lira-file.part").write_bytes(b"half")
    (other / "letter.txt").write_text("dear")
    before = sorted(other.iterdir())
    options = ("--images", images, "--size", 64)
    assert run(arguments(weights, other, *options)) == 2
    assert "not empty and holds no encoded data" in capsys.readouterr().err
    assert sorted(other.iterdir()) == before
    assert run(arguments(weights, own, *options)) == 0
    assert {path.name for path in own.glob(".lira-*")} == {".lira-directory.part"}
    (own / ".lira-file.part").write_bytes(b"half")
    assert run(arguments(weights, own, *options, "--shard-size", 7)) == 2
    assert (own / ".lira-file.part").exists()


def test_captions_beyond_77_tokens_are_counted(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A word of CLIP's vocabulary is a token; start and end are two more.
    shards = [image_shard(tmp_path / f"{n}.tar", [64] * 2, "cat " * n) for n in (75, 76)]
    options = ("--size", 64, "--shard-size", 3, "--images", shards[0], "--images", shards[1])
    for _ in range(2):
        assert run(arguments(weights, tmp_path / "out", *options)) == 0
        assert "4 samples in 2 shards, 0 skipped, 2 captions cut to 77 tokens" in capsys.readouterr().out
    assert run(arguments(weights, tmp_path / "out", *options, "--json")) == 0
    assert read_events(capsys.readouterr().out)[-1]["cut"] == 2

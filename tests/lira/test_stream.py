"""Encoded samples come back as they were written, and the stream follows from seed and position alone."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lira.data.stream import EncodedData, Stream
from lira_runtime.errors import BadInput

DESCRIPTION = {
    "latent": "demo",
    "size": 64,
    "text_preset": "demo",
    "d_text": 192,
    "encoder": "e",
    "text_encoder": "t",
    "source": "test",
    "shard_size": 4,
    "shards": 3,
    "samples": 12,
    "skipped": 0,
}


def write_folder(
    folder: Path, tars: int = 3, per_shard: int = 4, seed: int = 0, **changes: object
) -> tuple[np.ndarray, np.ndarray]:
    """Shards written by numpy and tarfile, without shards.json; returns their latents and text states."""
    rng, count = np.random.default_rng(seed), tars * per_shard
    latents = rng.standard_normal((count, 4, 8, 8)).astype(np.float16)
    texts = rng.standard_normal((count, 77, 192)).astype(np.float16)
    for shard in range(tars):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for index in range(per_shard * shard, per_shard * (shard + 1)):
                for extension, array in (("latent.npy", latents[index]), ("text.npy", texts[index])):
                    file = io.BytesIO()
                    np.save(file, array)
                    member = tarfile.TarInfo(f"{index}.{extension}")
                    member.size = file.tell()
                    file.seek(0)
                    archive.addfile(member, file)
    np.save(folder / "empty.npy", np.full((77, 192), 0.5, np.float16))
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION | {"shards": tars, "samples": count} | changes))
    return latents, texts


def record(folder: Path, per_shard: int = 4) -> None:
    """Write shards.json."""
    shards = sorted(folder.glob("*.tar"))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in shards]
    records = [{"samples": per_shard, "cut": 0, "sha256": digest} for digest in digests]
    (folder / "shards.json").write_text(json.dumps(records))


def overwrite(path: Path, array: np.ndarray, replacement: bytes, offset: int = 0) -> None:
    """Damage the file in place, from byte `offset` of the NumPy file of `array` that it holds."""
    file = io.BytesIO()
    np.save(file, array)
    content = path.read_bytes()
    start = content.index(file.getvalue()) + offset
    path.write_bytes(content[:start] + replacement + content[start + len(replacement) :])


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    latents, texts = write_folder(tmp_path)
    data = EncodedData(tmp_path)
    assert (len(data), data.kind.name, data.size, data.text_preset, data.d_text) == (12, "demo", 64, "demo", 192)
    assert (data.empty_state.numpy() == 0.5).all()
    for index in (11, 0, 5):
        latent, text = data.read(index)
        assert latent.numpy().dtype == text.numpy().dtype == np.float32
        assert np.array_equal(latent.numpy(), latents[index])
        assert np.array_equal(text.numpy(), texts[index])


def test_a_remote_folder_is_read_through_the_cache(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    latents, _ = write_folder(tmp_path / "far")
    data = EncodedData(f"file://{tmp_path}/far/", cache=tmp_path / "cache")
    assert np.array_equal(data.read(7)[0].numpy(), latents[7])
    with pytest.raises(BadInput, match="cache folder"):
        EncodedData(f"file://{tmp_path}/far")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "not encoded to the end"),
        ({"latent": "f9c9"}, "Unknown latent kind"),
        ({"d_text": "wide"}, "holds no encoded data"),
        ({"d_text": 768}, r"empty.npy holds float16 \(77, 192\), not float16 \(77, 768\)"),
        ({"shards": 4}, "1 of 4 shards"),
    ],
)
def test_an_unfinished_or_wrong_folder_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_folder(tmp_path, **changes)
    with pytest.raises(BadInput, match=message):
        EncodedData(tmp_path)


def test_no_folder_and_a_sample_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no encoded data"):
        EncodedData(tmp_path)
    write_folder(tmp_path, size=128)
    with pytest.raises(BadInput, match=r"00000.tar:0 holds float16 \(4, 8, 8\), not float16 \(4, 16, 16\)"):
        EncodedData(tmp_path).read(0)


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for content in (b"", b"no array", (tmp_path / "empty.npy").read_bytes()[:-2]):
        (tmp_path / "empty.npy").write_bytes(content)
        with pytest.raises(BadInput, match=r"empty.npy is damaged"):
            EncodedData(tmp_path)


def test_every_epoch_shows_every_sample_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    write_folder(tmp_path)
    stream = Stream(EncodedData(tmp_path), seed=3)
    epochs = stream.indices(0, 60).reshape(5, 12)
    assert (np.sort(epochs) == np.arange(12)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 5
    other = Stream(EncodedData(tmp_path), seed=4).indices(0, 60)
    assert not np.array_equal(other, epochs.ravel())


def test_the_stream_is_the_same_from_any_position_and_in_any_pieces(tmp_path: Path) -> None:
    write_folder(tmp_path)
    data = EncodedData(tmp_path)
    whole = Stream(data, seed=3).indices(0, 100)
    for first, count in ((97, 3), (10, 31), (0, 1), (23, 2), (50, 0)):
        assert np.array_equal(Stream(data, seed=3).indices(first, count), whole[first : first + count])
    used = Stream(data, seed=3)
    assert np.array_equal(
        np.concatenate([used.indices(first, 5) for first in (60, 0, 35)]),
        whole[[*range(60, 65), *range(5), *range(35, 40)]],
    )


DAMAGES = {
    "holds NaN": {"replacement": b"\xff" * 512, "offset": 128},
    "is damaged": {"replacement": b"no NumPy", "offset": 0},
    "is damaged: ": {"replacement": b"(((", "offset": 12},
}


@pytest.mark.parametrize("message", DAMAGES)
def test_another_sample_stands_in_for_a_damaged_one_the_same_in_every_process(
    tmp_path: Path, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    latents, texts = write_folder(tmp_path, tars=2, per_shard=100)
    for index in (42, 150):
        overwrite(tmp_path / f"{index // 100:05d}.tar", latents[index], **DAMAGES[message])
    first, second = EncodedData(tmp_path), EncodedData(tmp_path)
    for index in (42, 150):
        latent, text = first.read(index)
        (place,) = np.flatnonzero((latents == latent.numpy()).all((1, 2, 3)))
        assert place != index
        assert np.array_equal(text.numpy(), texts[place])
    for _ in range(2):
        assert np.array_equal(second.read(150)[0], latent)
    assert np.array_equal(second.read(43)[0], latents[43])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert said[0].startswith(f"warning: 00000.tar:42 {message}")
    assert said[1].endswith("(2 of 200 lost so far).")
    overwrite(tmp_path / "00001.tar", latents[151], **DAMAGES[message])
    with pytest.raises(BadInput, match=r"3 of 200 samples \(the last: 00001.tar:151"):
        first.read(151)


@pytest.mark.parametrize("lost", ["latent.npy", "text.npy"])
def test_a_sample_that_lacks_an_array_is_named(tmp_path: Path, lost: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path, tars=1, per_shard=100)
    whole, path = (tmp_path / "00000.tar").rename(tmp_path / "whole"), tmp_path / "00000.tar"
    with tarfile.open(whole) as source, tarfile.open(path, "w") as archive:
        for member in source:
            if member.name != f"42.{lost}":
                archive.addfile(member, source.extractfile(member))
    latent, text = EncodedData(tmp_path).read(42)
    assert latent.shape == (4, 8, 8) and text.shape == (77, 192)
    assert f"warning: 00000.tar:42 lacks {lost};" in capsys.readouterr().err


def test_a_shard_that_is_not_the_recorded_one_is_named_and_its_samples_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    latents, _ = write_folder(tmp_path, tars=200, per_shard=2)
    record(tmp_path, per_shard=2)
    overwrite(tmp_path / "00007.tar", latents[14], b"\0\0", offset=200)  # a wrong number, but a number
    (tmp_path / "00009.tar").unlink()
    data = EncodedData(tmp_path)
    for index in (14, 15, 18, 19, 15):
        latent = data.read(index)[0].numpy()
        assert (latents == latent).all((1, 2, 3)).any()
        assert not np.array_equal(latent, latents[index])
    wrong, gone = capsys.readouterr().err.splitlines()
    assert "00007.tar cannot be used: its SHA-256" in wrong
    assert "00009.tar cannot be used: " in gone
    assert gone.endswith("(4 of 400 lost so far).")
    (tmp_path / "00000.tar").unlink()
    with pytest.raises(BadInput, match="6 of 400 samples"):
        data.read(1)


def test_recorded_shards_are_not_opened_before_their_first_use(tmp_path: Path) -> None:
    latents, _ = write_folder(tmp_path)
    record(tmp_path)
    aside = tmp_path / "aside"
    aside.mkdir()
    for path in tmp_path.glob("*.tar"):
        path.rename(aside / path.name)
    data = EncodedData(tmp_path)
    assert len(data) == 12
    (aside / "00001.tar").rename(tmp_path / "00001.tar")
    assert np.array_equal(data.read(6)[0], latents[6])


@pytest.mark.parametrize("recorded", [True, False])
def test_data_encoded_anew_at_the_same_url_is_read_though_sizes_and_times_are_the_same(
    tmp_path: Path, recorded: bool
) -> None:
    far, cache = tmp_path / "far", tmp_path / "cache"
    far.mkdir()
    for seed in (0, 1):
        latents, _ = write_folder(far, seed=seed, encoder=f"encoder {seed}")
        if recorded:
            record(far)
        for path in far.iterdir():
            os.utime(path, (0, 0))
        data = EncodedData(f"file://{far}", cache)
        assert all(np.array_equal(data.read(index)[0], latents[index]) for index in range(12))
    (far / "dataset.json").write_text(json.dumps(DESCRIPTION | {"samples": 0}))
    with pytest.raises(BadInput, match="not encoded to the end"):
        EncodedData(f"file://{far}", cache)


def test_a_copy_that_is_damaged_in_the_cache_is_fetched_anew(tmp_path: Path) -> None:
    far, cache = tmp_path / "far", tmp_path / "cache"
    far.mkdir()
    latents, _ = write_folder(far)
    record(far)
    EncodedData(f"file://{far}", cache).read(0)
    (copy,) = cache.rglob("*-00000.tar")
    overwrite(copy, latents[0], b"\0\0", offset=200)
    assert np.array_equal(EncodedData(f"file://{far}", cache).read(0)[0], latents[0])


def test_damaged_records_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "shards.json").write_text("[{")
    with pytest.raises(BadInput, match=r"shards.json is damaged .*: delete it, and run lira-encode"):
        EncodedData(tmp_path)

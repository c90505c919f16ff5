"""Encoded samples come back as they were written, and the stream follows from seed and position alone."""

import io
import json
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


def write_folder(folder: Path, **changes: object) -> tuple[np.ndarray, np.ndarray]:
    """Three shards of four samples, written by numpy and tarfile; returns their latents and text states."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((12, 4, 8, 8)).astype(np.float16)
    texts = rng.standard_normal((12, 77, 192)).astype(np.float16)
    for shard in range(3):
        with tarfile.open(folder / f"{shard:05d}.tar", "w") as archive:
            for index in range(4 * shard, 4 * shard + 4):
                for extension, array in (("latent.npy", latents[index]), ("text.npy", texts[index])):
                    file = io.BytesIO()
                    np.save(file, array)
                    member = tarfile.TarInfo(f"{index}.{extension}")
                    member.size = file.tell()
                    file.seek(0)
                    archive.addfile(member, file)
    np.save(folder / "empty.npy", np.full((77, 192), 0.5, np.float16))
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION | changes))
    return latents, texts


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

"""Pictures to encode: scenes of the split that was asked for, and images cut to the middle square."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lira.data.emoji import EmojiSet
from lira.data.scenes import Mix, is_held_out, render
from lira.data.shards import BadSample, ShardSet
from lira.data.sources import SceneSource, ShardImages, distinct_scenes
from lira_runtime.errors import BadInput


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def images(folder: Path, files: dict[str, bytes], size: int = 32) -> ShardImages:
    with tarfile.open(folder / "0.tar", "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return ShardImages(ShardSet(str(folder / "0.tar")), size)


def bands(width: int, height: int, colours: list[str]) -> Image.Image:
    """Equal vertical bands of colours."""
    image = Image.new("RGB", (width, height))
    for place, colour in enumerate(colours):
        image.paste(colour, (place * width // len(colours), 0, (place + 1) * width // len(colours), height))
    return image


def test_scenes_are_distinct_seeded_and_of_their_split(emoji: EmojiSet) -> None:
    items = list(distinct_scenes(2000, seed=4))
    assert len(set(items)) == 2000
    assert items == list(distinct_scenes(2000, seed=4))
    assert set(items) != set(distinct_scenes(2000, seed=5))
    assert not any(is_held_out(scene) for scene, _ in items)
    assert all(is_held_out(scene) for scene, _ in SceneSource(emoji, 50, seed=4, held_out=True).scenes)


def test_a_scene_s_picture_and_caption_belong_together(emoji: EmojiSet) -> None:
    source = SceneSource(emoji, 20, seed=1, mix=Mix(0.5, 0.5))
    assert (len(source), source.size) == (20, 256)
    assert {scene.second for scene, _ in source.scenes} == {None}
    scene, jitter = source.scenes[13]
    assert source.picture(13).caption == scene.caption
    assert np.array_equal(source.picture(13).pixels, render(scene, emoji, jitter))


def test_more_scenes_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lira.data.sources.sample_jitter", lambda rng: (0, 0))
    with pytest.raises(BadInput, match="hardly more than 1[01]"):
        list(distinct_scenes(2000, seed=0, mix=Mix(1, 0)))  # 146 things on 8 backgrounds, less the held-out ones


@pytest.mark.parametrize(("width", "height"), [(192, 64), (64, 64), (64, 96)])
def test_an_image_becomes_its_middle_square(tmp_path: Path, width: int, height: int) -> None:
    image = bands(width, height, ["red", "lime", "blue"]) if width > height else bands(width, height, ["lime"])
    picture = images(tmp_path, {"a.png": encoded(image), "a.txt": b" a cat\n"}).picture(0)
    assert picture.caption == "a cat"
    assert picture.pixels.shape == (32, 32, 3)
    assert (picture.pixels == (0, 255, 0)).all()


def test_every_format_is_read_and_the_camera_s_rotation_obeyed(tmp_path: Path) -> None:
    upright = bands(64, 64, ["red", "blue"])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter to the right
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    source = images(
        tmp_path,
        {
            "a.jpg": encoded(turned, "JPEG", quality=95, exif=exif), "a.txt": b"a",
            "b.JPEG": encoded(upright, "JPEG", quality=95), "b.txt": b"b",
            "c.webp": encoded(upright, "WEBP", lossless=True), "c.txt": b"c",
            "d.png": encoded(upright.convert("P")), "d.txt": b"d",
        },
    )  # fmt: skip
    for index in range(4):
        pixels = source.picture(index).pixels.astype(int)
        assert np.abs(pixels[:, :12] - (255, 0, 0)).max() < 8, index
        assert np.abs(pixels[:, 20:] - (0, 0, 255)).max() < 8, index


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert (images(tmp_path, {"a.png": encoded(image), "a.txt": b"a"}).picture(0).pixels == 255).all()


def test_unusable_images_are_named(tmp_path: Path) -> None:
    good = encoded(bands(64, 64, ["red"]))
    source = images(
        tmp_path,
        {
            "small.png": encoded(bands(31, 64, ["red"])), "small.txt": b"a",
            "mute.png": good,
            "blank.png": good, "blank.txt": b" \n",
            "cut.png": good[:60], "cut.txt": b"a",
            "blind.txt": b"a",
        },
    )  # fmt: skip
    messages = ["small is 31 x 64 px, smaller than 32 px", "mute has no caption", "blank has no caption"]
    for index, message in enumerate([*messages, "cut cannot be read as a picture", "blind has no image"]):
        with pytest.raises(BadSample, match=f"0.tar:{message}"):
            source.picture(index)


def odd_exif(jpeg: bytes) -> bytes:
    """With an orientation to obey, and a resolution unit beyond its 16 bits, which Pillow cannot write again."""
    entries = struct.pack("<HHLL", 0x0112, 3, 1, 6) + struct.pack("<HHLL", 0x0128, 4, 1, 2**32 - 1)
    content = b"Exif\0\0II*\0" + struct.pack("<LH", 8, 2) + entries + struct.pack("<L", 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def test_16_bits_and_odd_exif_are_bad_samples_and_no_white_picture_or_crash(tmp_path: Path) -> None:
    deep = encoded(Image.fromarray(np.full((64, 64), 40_000, np.uint16)))
    odd = odd_exif(encoded(bands(64, 64, ["red"]), "JPEG"))
    source = images(tmp_path, {"deep.png": deep, "deep.txt": b"a", "odd.jpg": odd, "odd.txt": b"a"})
    with pytest.raises(BadSample, match="0.tar:deep has more than 8 bits a channel; save it with 8$"):
        source.picture(0)
    with pytest.raises(BadSample, match="0.tar:odd cannot be read as a picture: ushort format"):
        source.picture(1)

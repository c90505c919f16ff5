"""Reading the picture that a drawing starts from."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lira_runtime.errors import BadInput
from lira_runtime.image import from_pixels, read_picture, square_picture, to_pixels

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def striped(path: Path, size: tuple[int, int], middle: tuple[int, int, int, int]) -> None:
    """A red picture whose middle box (left, top, right, bottom) is green."""
    image = Image.new("RGB", size, RED)
    image.paste(GREEN, middle)
    image.save(path)


@pytest.mark.parametrize(
    ("size", "middle"), [((90, 30), (30, 0, 60, 30)), ((30, 90), (0, 30, 30, 60)), ((40, 40), (0, 0, 40, 40))]
)
def test_the_centre_square_is_kept(tmp_path: Path, size: tuple[int, int], middle: tuple[int, int, int, int]) -> None:
    striped(tmp_path / "a.png", size, middle)
    pixels = read_picture(tmp_path / "a.png", 16)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.uint8(GREEN), (16, 16, 3)))


def test_a_picture_of_impossible_size_is_refused_before_it_is_made(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="20000 x 20000 px"):
        read_picture(tmp_path / "a.png", 20_000)


def test_a_picture_of_the_right_size_is_not_touched(tmp_path: Path) -> None:
    wanted = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    Image.fromarray(wanted).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 24), wanted)


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 32), BLUE)
    image.paste(RED, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_picture(tmp_path / "a.png", 32)
    np.testing.assert_array_equal(pixels[0, 0], BLUE)
    np.testing.assert_array_equal(pixels[-1, -1], RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_places_are_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.convert(mode).save(tmp_path / "a.png", **({"transparency": 0} if mode == "P" else {}))
    assert (read_picture(tmp_path / "a.png", 8) == WHITE).all()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif", "a.bmp"])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, format=Image.registered_extensions()[Path(name).suffix])
    (tmp_path / name).write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        read_picture(tmp_path / name, 16)


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="cannot be read as a picture"):
        read_picture(tmp_path / "a.png", 16)


def test_pixels_become_the_graphs_tensor_and_come_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 9, 3), np.uint8)
    image = from_pixels(pixels)
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((1, 3, 70, 9), np.float32, True)
    np.testing.assert_allclose(image[0, 2], pixels[..., 2] / 255, rtol=1e-6)
    np.testing.assert_array_equal(to_pixels(image), pixels)


def test_a_picture_of_16_bits_is_refused_and_a_small_one_where_that_is_asked(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(file, "PNG")
    with pytest.raises(BadInput, match="^it has more than 8 bits a channel"):
        square_picture(file, "it", 16)
    file = io.BytesIO()
    Image.new("RGB", (20, 15), RED).save(file, "PNG")
    assert (square_picture(file, "it", 16) == RED).all()
    with pytest.raises(BadInput, match="^it is 20 x 15 px, smaller than 16 px"):
        square_picture(file, "it", 16, smallest=16)

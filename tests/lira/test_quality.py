"""How well a decoder gives pictures back, by decoders whose error is known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lira.training.perceptual import PyramidDistance
from lira.training.pictures import EncodedPictures
from lira.training.quality import measure, save_examples

SIDE = 192


class Off(torch.nn.Module):
    """A decoder whose every value is 0.2 too high."""

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        self.image = image

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return self.image + 51 / 255 + 0 * latent.mean()


def test_psnr_and_distance_of_a_known_error_are_the_formulas() -> None:
    image = torch.full((2, 3, SIDE, SIDE), 102 / 255)
    quality = measure(Off(image), PyramidDistance(), [EncodedPictures(image, torch.zeros(2, 4, 24, 24))])
    assert quality.psnr == pytest.approx(-20 * math.log10(0.2), abs=1e-3)
    assert quality.distance == pytest.approx(0.2 / 4, abs=1e-6)
    a, b = 0.4, 0.6
    assert quality.ms_ssim == pytest.approx(((2 * a * b + 1e-4) / (a * a + b * b + 1e-4)) ** 0.1333, abs=1e-4)


class Softer(torch.nn.Module):
    """A decoder that leaves half of the picture's contrast, or more than all of it."""

    def __init__(self, image: torch.Tensor, contrast: float) -> None:
        super().__init__()
        self.image = 0.5 + contrast * (image - 0.5)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return self.image + 0 * latent.mean()


@pytest.mark.parametrize("contrast", [0.5, 1.5])
def test_sharpness_is_the_energy_of_fine_detail_over_the_originals(contrast: float) -> None:
    columns = torch.tensor([101 / 255, 153 / 255]).repeat(SIDE // 2)
    image = columns.expand(2, 3, SIDE, SIDE)
    check = [EncodedPictures(image, torch.zeros(2, 4, 24, 24))]
    assert measure(Softer(image, contrast), PyramidDistance(), check).sharpness == pytest.approx(contrast**2, rel=1e-4)


def test_the_sharpness_of_a_flat_original_is_finite() -> None:
    image = torch.full((1, 3, SIDE, SIDE), 0.4)
    check = [EncodedPictures(image, torch.zeros(1, 4, 24, 24))]
    assert math.isfinite(measure(Off(image), PyramidDistance(), check).sharpness)


def test_the_examples_show_each_original_above_what_is_decoded(tmp_path: Path) -> None:
    image = torch.zeros(8, 3, 32, 32)
    image[3] = 1 - 51 / 255
    save_examples(Off(image), [EncodedPictures(image, torch.zeros(8, 4, 4, 4))], tmp_path / "x.png")
    shown = np.asarray(Image.open(tmp_path / "x.png"))
    assert shown.shape == (64, 256, 3)
    assert shown[0, 3 * 32].tolist() == [204] * 3 and shown[32, 3 * 32].tolist() == [255] * 3
    assert shown[0, 0].tolist() == [0] * 3 and shown[32, 0].tolist() == [51] * 3


class Add(torch.nn.Module):
    """A decoder whose picture is its latent on grey."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return 0.5 + latent


def test_the_noise_of_a_measurement_is_of_its_sigma_and_the_same_in_every_call() -> None:
    check = [EncodedPictures(torch.full((2, 3, SIDE, SIDE), 0.5), torch.zeros(2, 3, SIDE, SIDE))]
    for sigma in (0.05, 0.1):
        quality = measure(Add(), PyramidDistance(), check, sigma)
        assert quality.psnr == pytest.approx(-20 * math.log10(sigma), abs=0.1)
        assert measure(Add(), PyramidDistance(), check, sigma) == quality
    assert measure(Add(), PyramidDistance(), check).psnr > 50

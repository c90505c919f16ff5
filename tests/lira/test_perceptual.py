"""The stated perceptual distance against closed forms and a plain SSIM, and LPIPS only where it can be had offline."""

import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lira.training import perceptual
from lira.training.perceptual import (
    SCALE_WEIGHTS,
    LpipsDistance,
    PyramidDistance,
    laplacian_bands,
    ms_ssim,
    perceptual_distance,
)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_the_bands_of_a_pyramid_add_up_to_the_picture() -> None:
    image = noise(2, 3, 64, 48)
    *fine, rebuilt = laplacian_bands(image, 4)
    for band in reversed(fine):
        rebuilt = band + torch.nn.functional.interpolate(rebuilt, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(rebuilt, image, atol=1e-6, rtol=0)


def test_a_constant_offset_is_in_the_low_pass_band_alone() -> None:
    *fine, low = laplacian_bands(torch.full((1, 3, 32, 32), 0.25), 3)
    assert all(band.abs().max() < 1e-6 for band in fine)
    torch.testing.assert_close(low, torch.full((1, 3, 8, 8), 0.25))


def test_ms_ssim_of_two_flat_pictures_is_the_luminance_term_of_the_last_scale() -> None:
    a, b, floor = 0.2, 0.6, 0.01**2
    wanted = ((2 * a * b + floor) / (a * a + b * b + floor)) ** SCALE_WEIGHTS[-1]
    found = ms_ssim(torch.full((1, 3, 192, 192), a).double(), torch.full((1, 3, 192, 192), b).double())
    assert float(found) == pytest.approx(wanted, abs=1e-6)


def plain_contrast(made: torch.Tensor, image: torch.Tensor) -> float:
    """SSIM's contrast-structure factor of 2-D pictures, window by window, from weighted sums as the paper writes it."""
    taps = [math.exp(-((i - 5) ** 2) / (2 * 1.5**2)) for i in range(11)]
    window = torch.tensor([[x * y for x in taps] for y in taps], dtype=torch.float64) / sum(taps) ** 2
    values = []
    for y in range(made.shape[0] - 10):
        for x in range(made.shape[1] - 10):
            p, q = made[y : y + 11, x : x + 11], image[y : y + 11, x : x + 11]
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            variances = (window * (p - mean_p) ** 2).sum() + (window * (q - mean_q) ** 2).sum()
            values.append(float((2 * covariance + 0.03**2) / (variances + 0.03**2)))
    return sum(values) / len(values)


def test_the_finest_scale_is_ssim_as_the_paper_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise(1, 1, 24, 20).double()
    made = 0.7 * image + 0.1 * noise(1, 1, 20, 24).double().mT
    monkeypatch.setattr(perceptual, "SCALE_WEIGHTS", (1.0, 0.0))
    monkeypatch.setattr(perceptual, "SMALLEST_SIDE", 20)
    monkeypatch.setattr(torch.nn.functional, "avg_pool2d", lambda x, _: x)
    both = (made.expand(1, 3, 24, 20), image.expand(1, 3, 24, 20))
    assert float(ms_ssim(*both)) == pytest.approx(plain_contrast(made[0, 0], image[0, 0]), abs=1e-9)


def test_a_checkerboard_of_single_px_is_seen_by_the_finest_scale_alone() -> None:
    y, x = torch.meshgrid(torch.arange(176), torch.arange(176), indexing="ij")
    board = ((y + x) % 2 * 0.5 + 0.25).double().expand(1, 3, 176, 176)
    contrast = 0.03**2 / (0.25**2 + 0.03**2)
    assert float(ms_ssim(board, torch.full_like(board, 0.5))) == pytest.approx(contrast ** SCALE_WEIGHTS[0], rel=1e-2)


def test_an_equal_picture_is_at_distance_zero_and_a_shade_is_in_one_band_of_four() -> None:
    image, distance = noise(2, 3, 176, 176), PyramidDistance()
    assert distance(image, image).abs().max() == 0
    torch.testing.assert_close(distance(image + 0.2, image), torch.full((2,), 0.2 / 4))


def test_equal_pictures_have_ms_ssim_one_and_blur_lowers_it_more_than_a_shade_of_equal_error() -> None:
    image = noise(2, 3, 176, 176)
    blurred = torch.nn.functional.avg_pool2d(image, 5, 1, 2)
    shade = float((blurred - image).square().mean().sqrt())
    torch.testing.assert_close(ms_ssim(image, image), torch.ones(2))
    assert (ms_ssim(blurred, image) < ms_ssim(image + shade, image)).all()


def test_the_gradient_is_finite_at_the_optimum() -> None:
    image = noise(1, 3, 176, 176)
    made = image.clone().requires_grad_()
    PyramidDistance()(made, image).sum().backward()
    assert torch.isfinite(made.grad).all()


def test_a_picture_too_small_for_the_coarsest_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 161 px"):
        ms_ssim(noise(1, 3, 160, 256), noise(1, 3, 160, 256))


class FakeLpips(torch.nn.Module):
    """Has lpips' interface: pictures in [0, 1] only with normalize=True, distances (b, 1, 1, 1)."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        assert net == "vgg" and not verbose
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, made: torch.Tensor, image: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        return self.scale * (made - image).abs().mean((1, 2, 3), keepdim=True)


def test_lpips_is_taken_only_with_its_weights_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = ModuleType("lpips")
    package.LPIPS = FakeLpips  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(perceptual.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert isinstance(perceptual_distance(), PyramidDistance), "the package would download them"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / perceptual.LPIPS_WEIGHTS).touch()
    distance = perceptual_distance()
    assert isinstance(distance, LpipsDistance)
    assert not any(p.requires_grad for p in distance.parameters())
    torch.testing.assert_close(distance(torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)), torch.tensor([2.0, 2.0]))

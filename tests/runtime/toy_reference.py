"""The toy bundle of toy_bundle.py in NumPy and float64: what the pipeline must return, up to rounding."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from toy_bundle import (
    CHANNELS,
    GAINS,
    MEAN,
    OFFSETS,
    RESOLUTION,
    SCALE,
    SHIFT,
    SPREAD,
    TEXT_PULL,
    TEXT_WEIGHTS,
    ramp,
)

from lira_runtime.noise import initial_noise
from lira_runtime.sampler import Step, sample, shifted_sigmas
from lira_runtime.tokenizer import ClipTokenizer


def toy_steps(
    prompt: str,
    seed: int,
    steps: int,
    guidance: float,
    method: str,
    shift: float = SHIFT,
    side: int = RESOLUTION,
) -> tuple[list[Step], NDArray[np.float64]]:
    """Return the sampler's steps and the latent (1, C, H, W) they end at, with guidance written out once more."""
    text, empty = _text_mean(prompt), _text_mean("")

    def velocity(x: Any, sigma: float) -> Any:
        with_text, without = _velocity(x, sigma, text), _velocity(x, sigma, empty)
        return guidance * with_text + (1 - guidance) * without

    start = initial_noise(seed, (1, CHANNELS, side // SCALE, side // SCALE)).astype(np.float64)
    done = list(sample(velocity, start, shifted_sigmas(steps, shift), method))
    return done, done[-1].x


def toy_velocity(prompt: str, x: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Return the denoiser's velocity at x (1, C, H, W) and sigma, without guidance."""
    return _velocity(x, sigma, _text_mean(prompt))


def toy_image(latent: NDArray[Any]) -> NDArray[np.float64]:
    """Return the decoder's image (H, W, 3) before clamping, for a latent (1, C, H, W)."""
    rgb = latent[:, :3].astype(np.float64) * GAINS + OFFSETS
    large = rgb.repeat(SCALE, axis=2).repeat(SCALE, axis=3) + ramp(SCALE * latent.shape[2])
    return large[0].transpose(1, 2, 0)


def assert_exact_pixels(pixels: NDArray[np.uint8], image: NDArray[np.float64]) -> None:
    """Compare pixels (H, W, 3) with an unclamped image that leaves [0, 1] at both ends.

    Each must be the nearest of 256 levels; only where two are as near, float32 and float64 may choose differently.
    """
    levels = 255 * np.clip(image, 0, 1)
    nearest = np.floor(levels + 0.5)
    tied = np.abs(levels - np.floor(levels) - 0.5) < 0.01
    assert pixels.shape == image.shape
    assert (image < -0.02).any() and (image > 1.02).any() and tied.mean() < 0.1, "this toy would prove little"
    np.testing.assert_array_equal(pixels[~tied], nearest[~tied])
    assert (np.abs(pixels - levels) < 0.52).all()


def _text_mean(prompt: str) -> float:
    shares = ClipTokenizer.vendored().encode(prompt).ids[..., None] / 49407
    return float((shares * TEXT_WEIGHTS.astype(np.float64)).mean())


def _velocity(x: Any, sigma: float, text_mean: float) -> Any:
    alpha = 1 - sigma
    x0 = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * MEAN)
    return (x - x0) / sigma - TEXT_PULL * text_mean

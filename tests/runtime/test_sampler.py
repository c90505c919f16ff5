"""Toys with a known answer.

For data N(m, s^2) the flow is known: x_sigma = (1 - sigma) m + sqrt((1 - sigma)^2 s^2 + sigma^2) x_1, so the sample
must be m + s x_1. For data that is one point c, x0 = c at every sigma, and any sampler must land on it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lira_runtime.errors import BadInput
from lira_runtime.sampler import guided, sample, shifted_sigmas

MEAN, SPREAD = 0.7, 0.3


def gaussian_velocity(x: Any, sigma: float) -> Any:
    alpha = 1 - sigma
    x0 = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * MEAN)
    return (x - x0) / sigma


def finish(velocity: Callable[[Any, float], Any], x: Any, sigmas: list[float], method: str) -> Any:
    for step in sample(velocity, x, sigmas, method):
        x = step.x
    return x


def gaussian_error(sigmas: list[float], method: str) -> float:
    """Largest distance from the closed form, for nine starting points at sigmas[0]."""

    def exact(sigma: float) -> Any:
        return (1 - sigma) * MEAN + np.hypot((1 - sigma) * SPREAD, sigma) * np.linspace(-2, 2, 9)

    end = finish(gaussian_velocity, exact(sigmas[0]), sigmas, method)
    return float(np.abs(end - exact(sigmas[-1])).max())


def even_in_lambda(steps: int) -> list[float]:
    return [1 / (1 + math.exp(lam)) for lam in np.linspace(-3, 3, steps + 1)]


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("dpm", 2)])
@pytest.mark.parametrize("steps", [40, 80])
def test_between_the_ends_the_error_falls_with_the_methods_order(method: str, order: int, steps: int) -> None:
    ratio = gaussian_error(even_in_lambda(steps), method) / gaussian_error(even_in_lambda(2 * steps), method)
    assert math.log2(ratio) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("method", "least", "most"), [("euler", 0.95, 1.05), ("dpm", 1.6, 2.1)])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_from_1_to_0_the_order_holds_but_for_a_logarithm(method: str, least: float, most: float, shift: float) -> None:
    # Near both ends a step of lambda does not shrink with the number of steps: dpm's error is O(log n / n^2) there.
    ratio = gaussian_error(shifted_sigmas(320, shift), method) / gaussian_error(shifted_sigmas(640, shift), method)
    assert least < math.log2(ratio) < most


def test_dpm_beats_euler_at_the_steps_we_use() -> None:
    assert gaussian_error(shifted_sigmas(20, 1.0), "dpm") < 0.3 * gaussian_error(shifted_sigmas(20, 1.0), "euler")
    assert gaussian_error(shifted_sigmas(20, 3.0), "dpm") < gaussian_error(shifted_sigmas(20, 3.0), "euler")


@pytest.mark.parametrize("method", ["euler", "dpm"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
def test_one_point_is_reached_exactly(method: str, steps: int, shift: float) -> None:
    start = np.array([3.0, -1.0])
    end = finish(lambda x, sigma: (x - 0.25) / sigma, start, shifted_sigmas(steps, shift), method)
    np.testing.assert_allclose(end, 0.25, rtol=0, atol=1e-12)


def test_euler_is_x_plus_dsigma_v() -> None:
    sigmas = [0.9, 0.55, 0.2]
    expected = x = np.array([1.5, -0.5])
    for a, b in zip(sigmas, sigmas[1:], strict=False):
        expected = expected + (b - a) * gaussian_velocity(expected, a)
    np.testing.assert_allclose(finish(gaussian_velocity, x, sigmas, "euler"), expected, rtol=1e-13)


def test_dpm_is_the_papers_formula_in_lambda() -> None:
    sigmas = [0.95, 0.8, 0.5, 0.3, 0.1]
    x = start = np.array([1.5, -0.5])
    lam = [math.log((1 - s) / s) for s in sigmas]
    history: list[np.ndarray] = []
    for i in range(len(sigmas) - 1):
        history.append(x - sigmas[i] * gaussian_velocity(x, sigmas[i]))
        h = lam[i + 1] - lam[i]
        data = history[-1]
        if i:
            r = (lam[i] - lam[i - 1]) / h
            data = (1 + 1 / (2 * r)) * history[-1] - 1 / (2 * r) * history[-2]
        x = sigmas[i + 1] / sigmas[i] * x - (1 - sigmas[i + 1]) * math.expm1(-h) * data
    np.testing.assert_allclose(finish(gaussian_velocity, start, sigmas, "dpm"), x, rtol=1e-12)


@pytest.mark.parametrize("method", ["euler", "dpm"])
def test_numpy_and_torch_give_the_same_numbers(method: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: only NumPy arrays can be sampled here")
    start = np.linspace(-2, 2, 9)
    sigmas = shifted_sigmas(14, 3.0)
    by_numpy = finish(gaussian_velocity, start, sigmas, method)
    by_torch = finish(gaussian_velocity, torch.from_numpy(start), sigmas, method)
    assert isinstance(by_torch, torch.Tensor)
    np.testing.assert_allclose(by_torch.numpy(), by_numpy, rtol=1e-14)


@pytest.mark.parametrize("method", ["euler", "dpm"])
def test_float32_stays_float32(method: str) -> None:
    assert finish(gaussian_velocity, np.ones(3, np.float32), shifted_sigmas(5, 3.0), method).dtype == np.float32


def test_sigmas_run_from_exactly_1_to_exactly_0_and_follow_the_shift() -> None:
    sigmas = shifted_sigmas(4, 3.0)
    assert (sigmas[0], sigmas[-1]) == (1.0, 0.0)
    assert sigmas == pytest.approx([3 * u / (1 + 2 * u) for u in (1, 0.75, 0.5, 0.25, 0)])
    assert shifted_sigmas(1, 2.5) == [1.0, 0.0]


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_difference_that_overflows_does_no_harm_where_dpm_adds_none_of_it() -> None:
    large = np.float32(1.8e38)  # and the largest float32 is 3.4e38
    end = finish(
        lambda x, sigma: (x - (-large if sigma == 1 else large)) / sigma,
        np.zeros(1, np.float32),
        [1.0, 0.9, 0.0],
        "dpm",
    )
    assert end[0] == pytest.approx(large)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_an_impossible_number_of_steps_is_refused(steps: int) -> None:
    with pytest.raises(BadInput, match="steps"):
        shifted_sigmas(steps, 3.0)


@pytest.mark.parametrize("shift", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_shift_is_refused(shift: float) -> None:
    with pytest.raises(BadInput, match="shift"):
        shifted_sigmas(4, shift)


@pytest.mark.parametrize("sigmas", [[], [1.0], [0.0, 1.0], [1.0, 1.0, 0.0], [1.5, 0.0], [1.0, -0.1], [1.0, math.nan]])
def test_levels_that_do_not_fall_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(BadInput, match="noise levels"):
        sample(gaussian_velocity, np.ones(1), sigmas, "dpm")


def test_an_unknown_method_is_refused_before_any_work() -> None:
    with pytest.raises(BadInput, match="heun"):
        sample(gaussian_velocity, np.ones(1), [1.0, 0.0], "heun")


def test_a_closed_generator_computes_no_further() -> None:
    calls = []

    def velocity(x: Any, sigma: float) -> Any:
        calls.append(sigma)
        return x

    steps = iter(sample(velocity, np.ones(1), shifted_sigmas(10, 1.0), "dpm"))
    next(steps)
    next(steps)
    del steps
    assert len(calls) == 2


def test_guidance_extrapolates_from_the_empty_prompt_in_two_calls() -> None:
    calls: list[str] = []

    def velocity(x: Any, sigma: float, text: str) -> Any:
        calls.append(text)
        return x * (2.0 if text == "cat" else 0.5)

    result = guided(velocity, "cat", "", 4.0)(np.array([1.0]), 0.5)
    assert result == pytest.approx(0.5 + 4.0 * (2.0 - 0.5))
    assert sorted(calls) == ["", "cat"]


def test_guidance_1_never_asks_for_the_empty_prompt() -> None:
    calls: list[str] = []

    def velocity(x: Any, sigma: float, text: str) -> Any:
        calls.append(text)
        return x

    guided(velocity, "cat", "", 1.0)(np.array([1.0]), 0.5)
    assert calls == ["cat"]


@pytest.mark.parametrize("guidance", [math.nan, math.inf, -0.1, 100.5])
def test_an_impossible_guidance_is_refused(guidance: float) -> None:
    with pytest.raises(BadInput, match="guidance"):
        guided(lambda x, sigma, text: x, "a", "", guidance)

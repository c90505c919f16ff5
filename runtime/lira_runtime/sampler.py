"""Flow-matching samplers on plain arrays (NumPy or torch): Euler and Flow-DPM-Solver++ (2M).

Letters: x the noisy latent at noise level sigma (= time t), x0 the predicted clean latent, v the velocity.

    x_sigma = (1 - sigma) x0 + sigma eps        v = eps - x0        x0 = x - sigma v
    alpha = 1 - sigma        lambda = ln(alpha / sigma)        h = lambda_next - lambda

With n steps Euler's error falls as 1/n. That of 2M falls as 1/n^2 between the ends, and as log(n)/n^2 from sigma 1
to 0, because the first and last steps are wide in lambda however many there are.

Papers: SANA (arXiv 2410.10629, Alg. 1), DPM-Solver++ (arXiv 2211.01095, 2M in data prediction).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from lira_runtime.errors import BadInput

METHODS = frozenset({"euler", "dpm"})
MAX_STEPS = 1000
MAX_GUIDANCE = 100.0

Array = TypeVar("Array", bound=Any)


@dataclass(frozen=True)
class Step:
    """State after one step: x at `sigma_next`, and the clean latent x0 predicted at `sigma`; index counts from 0."""

    index: int
    sigma: float
    sigma_next: float
    x: Any
    x0: Any


def shifted_sigmas(steps: int, shift: float) -> list[float]:
    """Return steps + 1 noise levels from exactly 1 to exactly 0, even in sigma before the time shift.

    sigma' = s sigma / (1 + (s - 1) sigma). Raises BadInput for steps outside 1..1000 or a shift that is not positive.
    """
    if not 1 <= steps <= MAX_STEPS:
        raise BadInput(f"steps must lie between 1 and {MAX_STEPS}, but is {steps}.")
    if not (math.isfinite(shift) and shift > 0):
        raise BadInput(f"the time shift must be a positive number, but is {shift}.")
    even = [(steps - i) / steps for i in range(steps + 1)]
    return [shift * u / (shift * u + (1.0 - u)) for u in even]  # this form is exact at both ends


def last_levels(sigmas: list[float], strength: float) -> list[float]:
    """Return the levels of the last `strength` of all steps, to the nearest step and at least one: SDEdit's start.

    At strength 1 these are all levels. Raises BadInput for a strength outside 0 < strength <= 1.
    """
    if not 0.0 < strength <= 1.0:  # false for NaN too
        raise BadInput(f"the strength must lie above 0 and be at most 1, but is {strength}.")
    steps = len(sigmas) - 1
    return sigmas[steps - max(1, math.floor(strength * steps + 0.5)) :]


def noised(clean: Array, noise: Array, sigma: float) -> Array:
    """Return x_sigma of a clean latent; at sigma 1 it is the noise itself."""
    return clean * (1.0 - sigma) + noise * sigma


def check_method(method: str) -> None:
    """Raise BadInput unless `method` is one of METHODS."""
    if method not in METHODS:
        raise BadInput(f"the sampler must be one of {', '.join(sorted(METHODS))}, but is {method!r}.")


def check_guidance(guidance: float) -> None:
    """Raise BadInput unless 0 <= guidance <= 100."""
    if not 0.0 <= guidance <= MAX_GUIDANCE:  # false for NaN too
        raise BadInput(f"guidance must lie between 0 and {MAX_GUIDANCE:g}, but is {guidance}.")


def guided(
    velocity_fn: Callable[[Array, float, Any], Array], text: Any, empty_text: Any, guidance: float
) -> Callable[[Array, float], Array]:
    """Return (x, sigma) -> v with classifier-free guidance as two batch-1 calls, or one where guidance is 1.

    v = v_empty + guidance (v_text - v_empty). Raises BadInput for a guidance outside 0..100.
    """
    check_guidance(guidance)

    def velocity(x: Array, sigma: float) -> Array:
        with_text = velocity_fn(x, sigma, text)
        if guidance == 1.0:
            return with_text
        without = velocity_fn(x, sigma, empty_text)
        return without + guidance * (with_text - without)

    return velocity


def sample(
    velocity_fn: Callable[[Array, float], Array], x: Array, sigmas: list[float], method: str = "dpm"
) -> Iterator[Step]:
    """Yield a Step for each pair of neighbouring noise levels; the last one's x is the clean latent.

    velocity_fn: (x, sigma) -> v, the same shape as x. Work happens only as the caller iterates, so closing the
    generator stops it. Raises BadInput for an unknown method or levels that do not fall from at most 1 to at least 0.
    """
    check_method(method)
    falling = all(a > b for a, b in zip(sigmas, sigmas[1:], strict=False))
    if len(sigmas) < 2 or not falling or sigmas[0] > 1 or sigmas[-1] < 0:
        raise BadInput("the noise levels must fall from at most 1 to at least 0.")
    return _steps(velocity_fn, x, sigmas, method)


def _steps(velocity_fn: Callable[[Array, float], Array], x: Array, sigmas: list[float], method: str) -> Iterator[Step]:
    previous_x0: Array | None = None
    for i in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        x0 = x - sigma * velocity_fn(x, sigma)
        target = x0
        if method == "dpm" and previous_x0 is not None:
            weight = _extrapolation(sigmas[i - 1], sigma, sigma_next)
            if weight:  # 0 * (a difference that overflowed) would be NaN
                target = x0 + weight * (x0 - previous_x0)
        # alpha_next (1 - e^-h) = 1 - ratio, without the infinite lambda of sigma = 1 and sigma = 0.
        ratio = sigma_next / sigma
        x = ratio * x + (1.0 - ratio) * target
        previous_x0 = x0
        yield Step(i, sigma, sigma_next, x, x0)


def _extrapolation(sigma_before: float, sigma: float, sigma_next: float) -> float:
    """Return h / (2 h_before): how far 2M extrapolates x0; 0 where a lambda is infinite (first order there).

    At sigma_before = 1, h_before is infinite and the limit is 0. At sigma_next = 0, h is infinite: the last step is
    of lower order by design, and lands on x0.
    """
    if sigma_before >= 1.0 or sigma_next <= 0.0:
        return 0.0
    before, here, after = _lambda(sigma_before), _lambda(sigma), _lambda(sigma_next)
    return 0.5 * (after - here) / (here - before)


def _lambda(sigma: float) -> float:
    return math.log1p(-sigma) - math.log(sigma)

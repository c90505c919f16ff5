"""sampler.json: schedules in fractions, and drawings in float64, from the papers and not from the runtime's sampler.

DPM-Solver++ (arXiv 2211.01095, Alg. 2, 2M in data prediction), in its own letters: lambda = log(alpha / sigma), h_i =
lambda_i - lambda_{i-1}, r_i = h_{i-1} / h_i,

    D_i = (1 + 1 / (2 r_i)) x0_{i-1} - 1 / (2 r_i) x0_{i-2}
    x_i = sigma_i / sigma_{i-1} x_{i-1} - alpha_i (e^{-h_i} - 1) D_i

alpha = 1 - sigma (flow matching). A step that has no step before it, or one of infinite h on either side, is of first
order: D_i = x0_{i-1}. Euler: x_i = x_{i-1} + (sigma_i - sigma_{i-1}) v, as every flow-matching paper has it.

The model: data are N(m, s^2) for each number apart, for which the best prediction D is known, and text pulls it: guided
v = (x - D) / sigma - c / 2, where c = empty + g (text - empty). So x0 = x - sigma v = D + sigma c / 2.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from noise_vectors import noise
from packing import as_float32, f32

MEAN, SPREAD, PULL = 0.7, 0.3, 0.5
SHAPE = (1, 2, 3, 4)
COUNT = math.prod(SHAPE)
SCHEDULES: tuple[tuple[int, float, float | None], ...] = (
    *((steps, shift, None) for steps in (1, 2, 3, 8, 20) for shift in (1.0, 3.0, 0.5)),
    (50, 2.5, None),
    (1000, 3.0, None),
    *((steps, 3.0, strength) for steps in (1, 2, 3, 10, 20) for strength in (0.05, 0.25, 0.5, 0.6, 0.75, 1.0)),
    (50, 3.0, 0.29),  # 14.5 steps but for the last bit of 0.29: 14
    (1000, 1.0, 0.0005),  # half a step: 1
    (7, 1.0, 1e-9),  # at least one step
)
"""Steps, shift, strength. 10 steps at 0.25 and at 0.05 and at 0.75 are halves, which go up."""


@dataclass(frozen=True)
class Run:
    """One drawing. Its seed also chooses text, empty and clean, which are noise of other seeds."""

    method: str
    steps: int
    shift: float = 3.0
    guidance: float = 4.0
    strength: float | None = None
    seed: int = 7


RUNS = (
    *(Run(method, steps, seed=steps) for method in ("dpm", "euler") for steps in (1, 2, 3, 4, 8, 20)),
    *(Run(method, 5, guidance=guidance) for method in ("dpm", "euler") for guidance in (0.0, 1.0, 7.5)),
    *(Run(method, 6, shift, seed=2**64 - 1) for method in ("dpm", "euler") for shift in (0.5, 1.0)),
    *(Run(method, 10, strength=strength) for method in ("dpm", "euler") for strength in (0.05, 0.25, 0.6, 1.0)),
    Run("dpm", 3, 1.0, 1.0, 0.7, 2**63),
)


def levels(steps: int, shift: float, strength: float | None) -> list[Fraction]:
    """Exact noise levels, s u / (1 + (s - 1) u) for u from 1 to 0; of strength t the last max(1, [t n + 1/2]) steps."""
    s = Fraction(shift)
    every = [s * u / (1 + (s - 1) * u) for u in (Fraction(steps - i, steps) for i in range(steps + 1))]
    if strength is None:
        return every
    kept = max(1, math.floor(Fraction(strength) * steps + Fraction(1, 2)))
    return every[steps - kept :]


def clean_estimate(x: float, sigma: float, pull: float) -> float:
    """x0 = D + sigma c / 2, for one number."""
    alpha = 1 - sigma
    best = MEAN + alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * MEAN)
    return best + sigma * PULL * pull


def log_snr(sigma: float) -> float:
    """lambda; infinite at both ends."""
    if sigma in (0.0, 1.0):
        return math.inf if sigma == 0 else -math.inf
    return math.log((1 - sigma) / sigma)


def dpm_step(x: float, sigma: list[float], i: int, x0: list[float]) -> float:
    """x_i of one number, from x_{i-1} and the clean estimates x0[0] ... x0[i-1]."""
    h = log_snr(sigma[i]) - log_snr(sigma[i - 1])
    before = log_snr(sigma[i - 1]) - log_snr(sigma[i - 2]) if i > 1 else math.inf
    target = x0[i - 1]
    if math.isfinite(h) and math.isfinite(before):
        r = before / h
        target = (1 + 1 / (2 * r)) * x0[i - 1] - 1 / (2 * r) * x0[i - 2]
    return sigma[i] / sigma[i - 1] * x - (1 - sigma[i]) * (math.exp(-h) - 1) * target


def draw(run: Run, sigma: list[float], starts: list[float], pulls: list[float]) -> list[dict[str, Any]]:
    """Every step of a drawing; each number goes its own way."""
    ways = [draw_one(run.method, sigma, start, pull) for start, pull in zip(starts, pulls, strict=True)]
    return [
        {
            "sigma": sigma[i],
            "sigma_next": sigma[i + 1],
            "x_f32": f32(way[i][0] for way in ways),
            "x0_f32": f32(way[i][1] for way in ways),
        }
        for i in range(len(sigma) - 1)
    ]


def draw_one(method: str, sigma: list[float], x: float, pull: float) -> list[tuple[float, float]]:
    """(x, x0) after each step, for one number."""
    done, x0 = [], list[float]()
    for i in range(1, len(sigma)):
        x0.append(clean_estimate(x, sigma[i - 1], pull))
        if method == "dpm":
            x = dpm_step(x, sigma, i, x0)
        else:
            velocity = (x - x0[-1]) / sigma[i - 1]
            x = x + (sigma[i] - sigma[i - 1]) * velocity
        done.append((x, x0[-1]))
    return done


def record(run: Run) -> dict[str, Any]:
    """One entry of `runs`."""
    sigma = [float(level) for level in levels(run.steps, run.shift, run.strength)]
    text, empty = noise(run.seed ^ 1, SHAPE), noise(run.seed ^ 2, SHAPE)
    clean = None if run.strength is None else [as_float32(MEAN + SPREAD * each) for each in noise(run.seed ^ 3, SHAPE)]
    starts = noise(run.seed, SHAPE)
    if clean is not None:
        starts = [(1 - sigma[0]) * c + sigma[0] * e for c, e in zip(clean, starts, strict=True)]
    pulls = [e + run.guidance * (t - e) for t, e in zip(text, empty, strict=True)]
    return {
        "method": run.method,
        "steps": run.steps,
        "shift": run.shift,
        "guidance": run.guidance,
        "strength": run.strength,
        "clean_f32": None if clean is None else f32(clean),
        "seed": str(run.seed),
        "shape": list(SHAPE),
        "text_f32": f32(text),
        "empty_f32": f32(empty),
        "steps_out": draw(run, sigma, starts, pulls),
    }


def make() -> dict[str, Any]:
    """The content of sampler.json."""
    schedules = [
        {
            "steps": n,
            "shift": shift,
            "strength": strength,
            "sigmas": [float(level) for level in levels(n, shift, strength)],
        }
        for n, shift, strength in SCHEDULES
    ]
    return {"schedules": schedules, "runs": [record(run) for run in RUNS]}

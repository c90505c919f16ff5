"""What this design was said to take before any of it was built; kept to be held against what is measured.

The first design's table gave the denoiser's weights in float16 by preset, and small's whole pipeline at 1024 px, "under
1 GB". It did not say how either was counted.
"""

from collections.abc import Mapping

MIB, MB = 1 << 20, 1_000_000
HALF_WEIGHTS: Mapping[str, int] = {
    "tiny": 88 * MIB,
    "small": 267 * MIB,
    "base": 827 * MIB,
    "large": round(1.2 * 1024) * MIB,
}
"""Bytes of the denoiser's weights in float16, by preset."""
PIPELINES: Mapping[tuple[str, str], int] = {("small", "f32c32"): 768 * MB, ("small", "f8c16"): 970 * MB}
"""Bytes of the whole pipeline at `PIPELINE_PX`, by preset and latent kind."""
PIPELINE_PX = 1024
TRUE_WITHIN = 0.05
"""Of the claim: nearer than this is right."""


def judged(claimed: int, measured: int) -> str:
    """Whether a claim in bytes is what was measured."""
    error = measured / claimed - 1
    if abs(error) <= TRUE_WITHIN:
        return "right"
    return f"wrong: it takes {abs(error):.0%} {'more' if error > 0 else 'less'}"

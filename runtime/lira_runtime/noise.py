"""Initial noise that every language reproduces from the same seed.

1. Philox4x64-10 (Random123) with the 128-bit key (seed, 0); the 256-bit counter is raised by one *before* each
   block, so the first block has counter 1; a block's four 64-bit words are used in order.
2. u = ((word >> 11) + 1) * 2^-53 in float64, so u lies in (0, 1] and its logarithm is finite.
3. Box-Muller on consecutive pairs (u1, u2): r = sqrt(-2 ln u1); values r cos(2 pi u2), then r sin(2 pi u2).
4. Row-major into the shape, rounded to float32; of an odd count the last sine is left out.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lira_runtime.errors import BadInput

SEED_LIMIT = 1 << 64


def check_seed(seed: int) -> None:
    """Raise BadInput unless 0 <= seed < 2^64."""
    if not 0 <= seed < SEED_LIMIT:
        raise BadInput(f"the seed must lie between 0 and {SEED_LIMIT - 1}, but is {seed}.")


def initial_noise(seed: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return standard normal noise of `shape`, float32; raises BadInput for a seed outside [0, 2^64)."""
    check_seed(seed)
    count = math.prod(shape)
    words = np.random.Philox(key=seed).random_raw(count + count % 2)
    uniform = ((words >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform[0::2]))
    angle = 2.0 * np.pi * uniform[1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return pairs.reshape(-1)[:count].reshape(shape).astype(np.float32)

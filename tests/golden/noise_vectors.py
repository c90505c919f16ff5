"""noise.json: Philox4x64-10 in whole numbers, from the Random123 paper (Salmon et al., SC 2011), and Box-Muller.

Nothing here is NumPy's or the runtime's. `test_golden.py` checks the generator of words by Random123's known answers.
"""

import math
from collections.abc import Sequence
from typing import Any

from packing import as_float32, f32

WORD = 1 << 64
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
"""Added to the key after each round: the golden ratio, and the square root of 3 less 1."""
ROUNDS = 10
SEEDS = (0, 1, 7, 2**32, 2**63, 2**64 - 1)
SHAPES = ((1, 4, 4, 4), (1, 3, 3, 5), (1, 1, 1, 1))
"""Of an even count, of an odd one, and of one number alone."""
WORDS = 32
SAFE = 1e-6
"""Of a float32 step: no value may lie nearer to where float32 rounds the other way, so that every language agrees."""


def philox(counter: Sequence[int], key: Sequence[int]) -> list[int]:
    """One block: four words of 64 bits from a counter of four and a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (product1 // WORD) ^ c1 ^ k0, product1 % WORD, (product0 // WORD) ^ c3 ^ k1, product0 % WORD
        k0, k1 = (k0 + WEYL[0]) % WORD, (k1 + WEYL[1]) % WORD
    return [c0, c1, c2, c3]


def words(seed: int, count: int) -> list[int]:
    """The first words of a seed: blocks of the counters 1, 2, 3 ..., each block's words in order."""
    blocks = (philox((number, 0, 0, 0), (seed, 0)) for number in range(1, -(-count // 4) + 1))
    return [word for block in blocks for word in block][:count]


def normals(seed: int, count: int) -> list[float]:
    """Standard normal numbers in float64: each two words give a cosine's and a sine's."""
    stream = words(seed, count + count % 2)
    values = []
    for first, second in zip(stream[0::2], stream[1::2], strict=True):
        u1, u2 = ((first >> 11) + 1) / 2**53, ((second >> 11) + 1) / 2**53
        radius, angle = math.sqrt(-2 * math.log(u1)), 2 * math.pi * u2
        values += [radius * math.cos(angle), radius * math.sin(angle)]
    return values[:count]


def noise(seed: int, shape: Sequence[int]) -> list[float]:
    """The noise of a seed, flat in C order, rounded to float32."""
    return [as_float32(value) for value in normals(seed, math.prod(shape))]


def steps_to_a_tie(value: float) -> float:
    """How far a float64 lies from the middle between two float32 numbers, in steps of float32; normal numbers only."""
    step = 2.0 ** (math.frexp(value)[1] - 24)
    return abs(value / step % 1 - 0.5)


def make() -> dict[str, Any]:
    """The content of noise.json."""
    for seed in SEEDS:
        for shape in SHAPES:
            assert min(map(steps_to_a_tie, normals(seed, math.prod(shape)))) > SAFE, f"choose another shape: {seed}"
    return {
        "words": [{"seed": str(seed), "words": [str(word) for word in words(seed, WORDS)]} for seed in SEEDS],
        "noise": [
            {"seed": str(seed), "shape": list(shape), "values_f32": f32(noise(seed, shape))}
            for seed in SEEDS
            for shape in SHAPES
        ],
    }

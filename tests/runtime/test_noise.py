"""The oracle is Philox4x64-10 written out from the Random123 paper, checked against its published known answers."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lira_runtime.errors import BadInput
from lira_runtime.noise import initial_noise

MASK = (1 << 64) - 1


def philox4x64_10(counter: list[int], key: list[int]) -> list[int]:
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 1 << 64)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B97F4A7C15) & MASK, (k[1] + 0xBB67AE8584CAA73B) & MASK]
    return c


def noise_by_hand(seed: int, count: int) -> list[float]:
    words: list[int] = []
    block = 0
    while len(words) < count + count % 2:
        block += 1
        words += philox4x64_10([block, 0, 0, 0], [seed, 0])
    uniform = [((word >> 11) + 1) * 2.0**-53 for word in words]
    values = []
    for u1, u2 in zip(uniform[0::2], uniform[1::2], strict=True):
        radius = math.sqrt(-2.0 * math.log(u1))
        values += [radius * math.cos(2 * math.pi * u2), radius * math.sin(2 * math.pi * u2)]
    return values[:count]


def test_the_oracle_gives_random123s_known_answers() -> None:
    assert philox4x64_10([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]
    assert philox4x64_10([MASK] * 4, [MASK] * 2) == [
        0x87B092C3013FE90B,
        0x438C3C67BE8D0224,
        0x9CC7D7C69CD777B6,
        0xA09CAEBF594F0BA0,
    ]


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 + 5, 2**63, 2**64 - 1])
@pytest.mark.parametrize("shape", [(1, 4, 3, 5), (7,), (1,)])
def test_noise_is_the_documented_recipe(seed: int, shape: tuple[int, ...]) -> None:
    noise = initial_noise(seed, shape)
    assert noise.shape == shape
    assert noise.dtype == np.float32
    expected = np.array(noise_by_hand(seed, math.prod(shape))).reshape(shape)
    np.testing.assert_allclose(noise, expected, rtol=2e-7, atol=1e-12)


def test_noise_is_standard_normal() -> None:
    noise = initial_noise(3, (200_000,)).astype(np.float64)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.1


def test_two_seeds_give_unrelated_noise() -> None:
    a, b = initial_noise(1, (100_000,)), initial_noise(2, (100_000,))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


def test_a_word_of_zeros_makes_a_finite_number(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zeros:
        def __init__(self, key: int) -> None: ...

        def random_raw(self, count: int) -> NDArray[np.uint64]:
            return np.zeros(count, np.uint64)

    monkeypatch.setattr(np.random, "Philox", Zeros)
    assert initial_noise(0, (2,))[0] == pytest.approx(math.sqrt(2 * 53 * math.log(2)))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_outside_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(BadInput, match="seed"):
        initial_noise(seed, (1,))

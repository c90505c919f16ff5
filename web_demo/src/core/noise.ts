/**
 * Initial noise that every language reproduces from the same seed.
 *
 * 1. Philox4x64-10 with the 128-bit key (seed, 0); the counter is raised by one before each block, so the first block
 *    has counter 1; a block's four 64-bit words are used in order.
 * 2. u = ((word >> 11) + 1) * 2^-53, in (0, 1].
 * 3. Box-Muller on consecutive pairs: r = sqrt(-2 ln u1); r cos(2 pi u2), then r sin(2 pi u2).
 * 4. Row-major into the shape, rounded to float32; of an odd count the last sine is left out.
 */

import { badInput } from "./errors";
import { product } from "./interface";

export const SEED_LIMIT = 1n << 64n;
const MASK = SEED_LIMIT - 1n;
const ROUNDS = 10;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n] as const;
const WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn] as const;

/** Raises bad_input unless 0 <= seed < 2^64. */
export function checkSeed(seed: bigint): void {
  if (seed < 0n || seed >= SEED_LIMIT) throw badInput(`the seed must lie between 0 and ${MASK}, but is ${seed}.`);
}

/** The first `count` 64-bit words of a seed. */
export function philoxWords(seed: bigint, count: number): BigUint64Array {
  checkSeed(seed);
  const words = new BigUint64Array(count);
  for (let block = 0; 4 * block < count; block += 1) {
    const four = philoxBlock(BigInt(block + 1), seed);
    for (let i = 0; i < 4 && 4 * block + i < count; i += 1) words[4 * block + i] = four[i]!;
  }
  return words;
}

function philoxBlock(counter: bigint, seed: bigint): readonly bigint[] {
  let [c0, c1, c2, c3] = [counter, 0n, 0n, 0n];
  let [k0, k1] = [seed, 0n];
  for (let round = 0; round < ROUNDS; round += 1) {
    const [p0, p1] = [MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2];
    [c0, c1, c2, c3] = [(p1 >> 64n) ^ c1 ^ k0, p1 & MASK, (p0 >> 64n) ^ c3 ^ k1, p0 & MASK];
    [k0, k1] = [(k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK];
  }
  return [c0, c1, c2, c3];
}

/** Standard normal noise of `shape`, flat in C order; raises bad_input for a seed outside [0, 2^64). */
export function initialNoise(seed: bigint, shape: readonly number[]): Float32Array {
  const count = product(shape);
  const words = philoxWords(seed, count + (count % 2));
  const uniform = (i: number): number => (Number(words[i]! >> 11n) + 1) * 2 ** -53;
  const noise = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(uniform(i)));
    const angle = 2 * Math.PI * uniform(i + 1);
    noise[i] = radius * Math.cos(angle);
    if (i + 1 < count) noise[i + 1] = radius * Math.sin(angle);
  }
  return noise;
}

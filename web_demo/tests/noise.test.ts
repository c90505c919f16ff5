import { expect, test } from "vitest";
import { initialNoise, philoxWords } from "../src/core/noise";
import { cpuSeconds } from "./cpu";
import { floats, readVectors } from "./vectors";

interface Noise {
  words: { seed: string; words: string[] }[];
  noise: { seed: string; shape: number[]; values_f32: string }[];
}
const vectors = readVectors<Noise>("noise.json");

test.each(vectors.words)("random words of seed $seed, bit for bit", ({ seed, words }) => {
  expect([...philoxWords(BigInt(seed), words.length)].map(String)).toEqual(words);
});

test.each(vectors.noise)("noise of seed $seed, shape $shape, bit for bit", ({ seed, shape, values_f32 }) => {
  const found = initialNoise(BigInt(seed), shape);
  expect(new Uint32Array(found.buffer)).toEqual(new Uint32Array(floats(values_f32).buffer));
});

test.each([-1n, 1n << 64n])("seed %s is refused", (seed) => {
  expect(() => initialNoise(seed, [1])).toThrow(expect.objectContaining({ code: "bad_input" }));
});

test("the noise of a 1024 px picture takes a second", { timeout: 120_000 }, () => {
  expect(cpuSeconds(() => initialNoise(1n, [1, 4, 128, 128]))).toBeLessThan(5);
});

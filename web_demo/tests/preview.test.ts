/** Previews of a decoder that is a weighted sum itself, and of one that adds what no sum explains. */

import { expect, test } from "vitest";
import { Bundle } from "../src/core/bundle";
import { goldenStride } from "../src/core/interface";
import type { Manifest } from "../src/core/manifest";
import { initialNoise } from "../src/core/noise";
import { toPixels } from "../src/core/pixels";
import { Preview } from "../src/core/preview";
import { MemorySource } from "../src/core/source";

const WEIGHTS = [
  [0.1, -0.05, 0.02, 0.5],
  [-0.1, 0.08, 0.04, 0.4],
  [0.03, 0.06, -0.09, 0.6],
];
const CHANNELS = 3;

/** (1, C, H, W) -> (1, 3, H s, W s), flat. */
function decoded(latent: Float32Array, height: number, width: number, s: number): Float32Array<ArrayBuffer> {
  return new Float32Array(3 * height * s * width * s).map((_, i) => {
    const [color, y, x] = [Math.floor(i / (height * s * width * s)), Math.floor(i / (width * s)) % (height * s), i % (width * s)];
    const place = Math.floor(y / s) * width + Math.floor(x / s);
    return WEIGHTS[color]!.reduce((sum, weight, c) => sum + weight * (c < CHANNELS ? latent[c * height * width + place]! : 1), 0);
  });
}

function bundle(height: number, width: number, scale: number, disturb: (value: number, i: number) => number = (value) => value, golden = true): Bundle {
  const outputs = [{ name: "image", shape: [1, 3, height * scale, width * scale], dtype: "float32" }];
  const inputs = [{ name: "latent", shape: [1, CHANNELS, height, width], dtype: "float32" }];
  const k = Number(goldenStride(BigInt(3 * height * scale * width * scale)));
  const whole = decoded(initialNoise(8n, inputs[0]!.shape), height, width, scale);
  const kept = whole.filter((_, i) => i % k === 0).map(disturb);
  const graph = { path: "decoder.onnx", resolution: 64, inputs, outputs, golden: golden ? { path: "golden.f32" } : null };
  const manifest = { components: [{ name: "decoder", graphs: [graph] }] } as unknown as Manifest;
  return new Bundle({ manifest, bytes: new Uint8Array(), digest: "d" }, new MemorySource("memory", new Map([["golden.f32", new Blob([kept])]])));
}

test.each([
  ["every number", 16, 12, 2],
  ["each fifth number", 12, 16, 12],
])("of a golden run with %s the decoder's own weights are found", async (_name, height, width, scale) => {
  const preview = (await Preview.of(bundle(height, width, scale), 64))!;
  expect([preview.width, preview.height]).toEqual([width, height]);
  const latent = initialNoise(3n, [1, CHANNELS, height, width]);
  const wanted = toPixels(decoded(latent, height, width, 1), width, height);
  const largest = preview.pixels(latent).reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i]!)), 0);
  expect(largest).toBeLessThanOrEqual(1);
});

test("what the sum does not explain gives the colours their spread back", async () => {
  const other = initialNoise(5n, [3 * 64 * 64]).map((value) => 0.2 * value);
  const preview = (await Preview.of(bundle(32, 32, 2, (value, i) => value + other[i]!), 64))!;
  const latent = new Float32Array(CHANNELS * 32 * 32).fill(1, 0, 32 * 32); // 1 in the first channel alone
  const [red, , blue] = preview.pixels(latent);
  const gain = (weights: number[]): number => Math.sqrt(1 + 0.04 / weights.slice(0, 3).reduce((sum, weight) => sum + weight ** 2, 0));
  expect(red! / 255).toBeCloseTo(0.5 + 0.1 * gain(WEIGHTS[0]!), 1);
  expect(blue! / 255).toBeCloseTo(0.6 + 0.03 * gain(WEIGHTS[2]!), 1);
});

test("without a golden run there is none", async () => {
  expect(await Preview.of(bundle(4, 4, 2, undefined, false), 64)).toBeNull();
});

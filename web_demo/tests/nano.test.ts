/** The golden drawing by the demo's bundle, in this engine: the same WebAssembly as in a browser, run by Node. */

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { Bundle } from "../src/core/bundle";
import { checkBundle } from "../src/core/check";
import { Pipeline } from "../src/core/pipeline";
import { Preview } from "../src/core/preview";
import { OrtBackend, configureEngine } from "../src/engine/ort";
import { psnrDb, readPng } from "../e2e/png";
import { DiskSource } from "./disk";
import { goldenPath, readVectors } from "./vectors";

interface Nano {
  prompt: string;
  seed: string;
  steps: number;
  guidance: number;
  method: string;
  shift: number;
  resolution: number;
  threads: number;
  weights_digest: string;
  latents: string;
  picture: string;
}
const FOLDER = process.env["LIRA_BUNDLE"] ?? fileURLToPath(new URL("../../build/nano-onnx/", import.meta.url));
/** 60 dB after the first step are for one engine's kernels; those of WebAssembly round otherwise from the first on. */
const [STEP_DB, PICTURE_DB] = [42, 45];
/** Of a preview against the picture made small. The picture of another prompt has 8 to 12. */
const PREVIEW_DB = 15;

test.runIf(existsSync(`${FOLDER}/manifest.json`))("the golden drawing", { timeout: 300_000 }, async () => {
  const golden = readVectors<Nano>("nano.json");
  const latents = new Float32Array(Uint8Array.from(readFileSync(goldenPath(golden.latents))).buffer);
  const reference = readPng(readFileSync(goldenPath(golden.picture)));
  configureEngine({ threads: golden.threads });
  const source = new DiskSource(FOLDER);
  const bundle = new Bundle(await checkBundle(source), source);
  expect(bundle.manifest.source.digest).toBe(golden.weights_digest); // of other weights than the vectors it says nothing
  const backend = new OrtBackend();
  const { prompt, steps, guidance, method, shift, resolution } = golden;
  const request = { prompt, seed: BigInt(golden.seed), steps, guidance, method, shift, resolution };
  const found: number[] = [];
  const preview = (await Preview.of(bundle, resolution))!;
  let small: Uint8Array = new Uint8Array();
  for await (const event of new Pipeline(bundle, backend).generate(request)) {
    if (event.kind === "step") found.push(latentDb(event.x, latents.subarray(event.index * event.x.length, (event.index + 1) * event.x.length)));
    if (event.kind === "step") small = preview.pixels(event.x0);
    if (event.kind === "image") found.push(psnrDb(event.pixels, reference.pixels));
  }
  console.log(`dB of the latents after each step, then of the picture: ${found.map((db) => db.toFixed(1)).join(", ")}`);
  expect(found).toHaveLength(steps + 1);
  for (const db of found.slice(0, -1)) expect(db).toBeGreaterThanOrEqual(STEP_DB);
  expect(found.at(-1)).toBeGreaterThanOrEqual(PICTURE_DB);
  expect(psnrDb(small, shrunk(reference.pixels, resolution, preview.width))).toBeGreaterThanOrEqual(PREVIEW_DB);
});

/** RGB bytes of a square picture, each the mean of those that it stands for. */
function shrunk(pixels: Uint8Array, from: number, to: number): Uint8Array {
  const scale = from / to;
  return new Uint8Array(3 * to * to).map((_, i) => {
    const [x, y] = [Math.floor(i / 3) % to, Math.floor(i / 3 / to)];
    let sum = 0;
    for (let v = 0; v < scale; v += 1) for (let u = 0; u < scale; u += 1) sum += pixels[((y * scale + v) * from + x * scale + u) * 3 + (i % 3)]!;
    return sum / scale ** 2;
  });
}

/** PSNR against the largest number of the reference, dB. */
function latentDb(x: Float32Array, reference: Float32Array): number {
  let [errors, peak] = [0, 0];
  reference.forEach((value, i) => {
    errors += (x[i]! - value) ** 2;
    peak = Math.max(peak, Math.abs(value));
  });
  return 20 * Math.log10(peak / Math.sqrt(errors / reference.length));
}

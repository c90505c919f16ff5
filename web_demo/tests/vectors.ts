/** Readers of tests/golden: JSON, and base64 of little-endian float32. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const GOLDEN = fileURLToPath(new URL("../../tests/golden/", import.meta.url));

export const goldenPath = (name: string): string => GOLDEN + name;

export const readVectors = <T>(name: string): T => JSON.parse(readFileSync(goldenPath(name), "utf8")) as T;

export const bytes = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(base64, "base64"));

export const floats = (base64: string): Float32Array<ArrayBuffer> => new Float32Array(bytes(base64).buffer);

/** The largest difference, over the largest magnitude of the reference. */
export function relativeError(found: Float32Array, reference: Float32Array): number {
  if (found.length !== reference.length) return Infinity;
  let [error, peak] = [0, 0];
  reference.forEach((value, i) => {
    const difference = Math.abs(found[i]! - value);
    error = difference <= error ? error : difference; // a NaN stays
    peak = Math.max(peak, Math.abs(value));
  });
  return error / peak;
}

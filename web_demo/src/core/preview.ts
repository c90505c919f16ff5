/**
 * A latent as a small picture without the decoder: each colour is a weighted sum of the latent's channels.
 *
 * The weights are fitted to what the bundle stores of its decoder's golden run, numbers that the decoder made of known noise,
 * so no second component is ever loaded for a preview.
 */

import type { Bundle } from "./bundle";
import { goldenStride, product } from "./interface";
import { initialNoise } from "./noise";
import { toPixels } from "./pixels";

const SEED = 8n; // of golden runs, runtime/lira_runtime/golden.py

export class Preview {
  /** width, height: of the latent, and of the pictures, in px. weights: of each colour, of the channels and of 1. */
  private constructor(
    readonly width: number,
    readonly height: number,
    private readonly weights: readonly (readonly number[])[],
  ) {}

  /** Fit the weights for pictures of `resolution` px; null where the bundle stores no golden run of that decoder. */
  static async of(bundle: Bundle, resolution: number): Promise<Preview | null> {
    const { golden, inputs, outputs } = bundle.graph("decoder", resolution);
    if (!golden) return null;
    const values = new Float32Array((await bundle.read(golden.path)).buffer);
    const [, channels, height, width] = inputs[0]!.shape as [number, number, number, number];
    const [, , imageHeight, imageWidth] = outputs[0]!.shape as [number, number, number, number];
    const noise = initialNoise(SEED, inputs[0]!.shape);
    const stride = Number(goldenStride(BigInt(product(outputs[0]!.shape))));
    const fits = [0, 1, 2].map(() => new LeastSquares(channels + 1));
    const row = new Array<number>(channels + 1).fill(1);
    values.forEach((value, i) => {
      const at = i * stride;
      const x = Math.floor(((at % imageWidth) * width) / imageWidth);
      const y = Math.floor(((Math.floor(at / imageWidth) % imageHeight) * height) / imageHeight);
      for (let c = 0; c < channels; c += 1) row[c] = noise[(c * height + y) * width + x]!;
      fits[Math.floor(at / (imageWidth * imageHeight))]!.add(row, value);
    });
    return new Preview(width, height, fits.map((fit) => fit.weights()));
  }

  /** x0 (1, C, H, W) as RGB bytes (H, W, 3). */
  pixels(x0: Float32Array): Uint8Array {
    const area = this.width * this.height;
    const image = new Float32Array(3 * area).map((_, i) => {
      const weights = this.weights[Math.floor(i / area)]!;
      return weights.reduce((sum, weight, c) => sum + weight * (c < weights.length - 1 ? x0[c * area + (i % area)]! : 1), 0);
    });
    return toPixels(image, this.width, this.height);
  }
}

/** By the normal equations: y is about the sum of weights times x, the last x being 1. */
class LeastSquares {
  private readonly products: number[][];
  private squares = 0;

  constructor(private readonly size: number) {
    this.products = Array.from({ length: size }, () => new Array<number>(size + 1).fill(0));
  }

  add(x: readonly number[], y: number): void {
    this.products.forEach((row, i) => {
      x.forEach((value, j) => (row[j]! += x[i]! * value));
      row[this.size]! += x[i]! * y;
    });
    this.squares += y * y;
  }

  /** Noise has sharper edges than a picture, which weakens the fit: colours get their spread back. */
  weights(): number[] {
    const { size } = this;
    const weights = this.solved();
    const last = this.products[size - 1]!;
    const count = last[size - 1]!;
    const mean = last[size]! / count;
    const explained = weights.reduce((sum, weight, i) => sum + weight * this.products[i]![size]!, 0) / count - mean * mean;
    const gain = explained > 0 ? Math.sqrt((this.squares / count - mean * mean) / explained) : 1;
    return weights.map((weight, i) => (i < size - 1 ? weight * gain : weight));
  }

  private solved(): number[] {
    const { size } = this;
    const rows = this.products.map((row) => [...row]);
    for (let pivot = 0; pivot < size; pivot += 1) {
      const column = rows.slice(pivot).map((row) => Math.abs(row[pivot]!));
      const best = pivot + column.indexOf(Math.max(...column));
      [rows[pivot], rows[best]] = [rows[best]!, rows[pivot]!];
      const from = rows[pivot]!;
      if (!from[pivot]) continue;
      for (const row of rows) {
        if (row === from) continue;
        const factor = row[pivot]! / from[pivot]!;
        for (let j = pivot; j <= size; j += 1) row[j]! -= factor * from[j]!;
      }
    }
    return rows.map((row, i) => (row[i] ? row[size]! / row[i]! : 0));
  }
}

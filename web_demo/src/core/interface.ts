/** The components of a bundle and the tensors that each reads and returns. */

/** Those that every bundle holds unless it is partial, in the order in which they run. */
export const COMPONENTS = ["text_encoder", "denoiser", "decoder"] as const;
export const IMAGE_ENCODER = "image_encoder";
export const PROMPT_TOKENS = 77;
export const MOST_GOLDEN_NUMBERS = 16_384;

export const COMPONENT_NAMES = [...COMPONENTS, IMAGE_ENCODER] as const;
export type ComponentName = (typeof COMPONENT_NAMES)[number];
export const DTYPES = ["float32", "float16", "int64", "int32", "int8", "uint8", "bool"] as const;
export type Dtype = (typeof DTYPES)[number];

/** A named input or output with its fixed shape. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

export interface Interface {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/**
 * Inputs and outputs of each component.
 *
 * latentShape: (1, C, H, W); scale: image px a latent px; dText: width of a text state. Pictures are float32
 * (1, 3, H scale, W scale), sRGB in [0, 1].
 */
export function componentInterface(latentShape: readonly number[], scale: number, dText: number): Record<ComponentName, Interface> {
  const [, , height, width] = latentShape as [number, number, number, number];
  const latent: TensorSpec = { name: "latent", shape: latentShape, dtype: "float32" };
  const image: TensorSpec = { name: "image", shape: [1, 3, height * scale, width * scale], dtype: "float32" };
  const states: TensorSpec = { name: "text_states", shape: [1, PROMPT_TOKENS, dText], dtype: "float32" };
  const ids: TensorSpec = { name: "input_ids", shape: [1, PROMPT_TOKENS], dtype: "int32" };
  const time: TensorSpec = { name: "timestep", shape: [1], dtype: "float32" };
  const velocity: TensorSpec = { name: "velocity", shape: latentShape, dtype: "float32" };
  const reasoning: TensorSpec = { name: "reasoning_steps", shape: [1], dtype: "int32" };
  return {
    text_encoder: { inputs: [ids], outputs: [states] },
    denoiser: { inputs: [latent, time, states], outputs: [velocity, reasoning] },
    decoder: { inputs: [latent], outputs: [image] },
    image_encoder: { inputs: [image], outputs: [latent] },
  };
}

export const product = (shape: readonly number[]): number => shape.reduce((all, side) => all * side, 1);

/** How many numbers of a graph's first output a bundle stores: each k-th, k the least that shares no divisor with the count. */
export function goldenCount(output: TensorSpec): number {
  const count = product(output.shape);
  if (!Number.isSafeInteger(count)) return NaN; // a forged shape: equal to no count
  let k = Math.max(1, Math.ceil(count / MOST_GOLDEN_NUMBERS));
  while (commonDivisor(k, count) > 1) k += 1;
  return Math.ceil(count / k);
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

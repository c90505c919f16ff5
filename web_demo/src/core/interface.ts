/** The components of a bundle and the tensors that each reads and returns. */

/** Those that every bundle holds unless it is partial, in the order in which they run. */
export const COMPONENTS = ["text_encoder", "denoiser", "decoder"] as const;
export const IMAGE_ENCODER = "image_encoder";
export const PROMPT_TOKENS = 77;
const MOST_GOLDEN_NUMBERS = 16_384n;

export const COMPONENT_NAMES = [...COMPONENTS, IMAGE_ENCODER] as const;
export type ComponentName = (typeof COMPONENT_NAMES)[number];
export const DTYPES = ["float32", "float16", "int64", "int32", "int8", "uint8", "bool"] as const;
export type Dtype = (typeof DTYPES)[number];

/** A named input or output with its fixed shape. */
export interface TensorSpec<Side = number> {
  readonly name: string;
  readonly shape: readonly Side[];
  readonly dtype: Dtype;
}
/** As a manifest says it, which may say anything. */
export type ExactTensorSpec = TensorSpec<bigint>;

export interface Interface {
  readonly inputs: readonly ExactTensorSpec[];
  readonly outputs: readonly ExactTensorSpec[];
}

/**
 * Inputs and outputs of each component.
 *
 * latentShape: (1, C, H, W); scale: image px a latent px; dText: width of a text state. Pictures are float32
 * (1, 3, H scale, W scale), sRGB in [0, 1].
 */
export function componentInterface(latentShape: readonly bigint[], scale: bigint, dText: bigint): Record<ComponentName, Interface> {
  const [, , height, width] = latentShape as [bigint, bigint, bigint, bigint];
  const latent: ExactTensorSpec = { name: "latent", shape: latentShape, dtype: "float32" };
  const image: ExactTensorSpec = { name: "image", shape: [1n, 3n, height * scale, width * scale], dtype: "float32" };
  const states: ExactTensorSpec = { name: "text_states", shape: [1n, BigInt(PROMPT_TOKENS), dText], dtype: "float32" };
  const ids: ExactTensorSpec = { name: "input_ids", shape: [1n, BigInt(PROMPT_TOKENS)], dtype: "int32" };
  const time: ExactTensorSpec = { name: "timestep", shape: [1n], dtype: "float32" };
  const velocity: ExactTensorSpec = { name: "velocity", shape: latentShape, dtype: "float32" };
  const reasoning: ExactTensorSpec = { name: "reasoning_steps", shape: [1n], dtype: "int32" };
  return {
    text_encoder: { inputs: [ids], outputs: [states] },
    denoiser: { inputs: [latent, time, states], outputs: [velocity, reasoning] },
    decoder: { inputs: [latent], outputs: [image] },
    image_encoder: { inputs: [image], outputs: [latent] },
  };
}

export const product = (shape: readonly number[]): number => shape.reduce((all, side) => all * side, 1);

/** k: of an output of `count` numbers a bundle stores each k-th, k the least that shares no divisor with the count. */
export function goldenStride(count: bigint): bigint {
  let k = ceilDivided(count, MOST_GOLDEN_NUMBERS);
  while (commonDivisor(k, count) > 1n) k += 1n;
  return k;
}

/** How many numbers of a graph's first output are stored. */
export function goldenCount(output: ExactTensorSpec): bigint {
  const count = output.shape.reduce((all, side) => all * side, 1n);
  return ceilDivided(count, goldenStride(count));
}

const ceilDivided = (a: bigint, b: bigint): bigint => (a + b - 1n) / b;

function commonDivisor(a: bigint, b: bigint): bigint {
  while (b) [a, b] = [b, a % b];
  return a;
}

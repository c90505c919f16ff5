/**
 * Flow-matching samplers: Euler and Flow-DPM-Solver++ (2M; SANA, arXiv 2410.10629, Alg. 1).
 *
 * x the noisy latent at noise level sigma (= time t), x0 the predicted clean latent, v the velocity.
 *
 *     x_sigma = (1 - sigma) x0 + sigma eps        v = eps - x0        x0 = x - sigma v
 *     alpha = 1 - sigma        lambda = ln(alpha / sigma)        h = lambda_next - lambda
 *
 * Arrays are float32 and scalars float64; a scalar is rounded to float32 before it meets an array, and every operation
 * rounds, as in NumPy.
 */

import { badInput } from "./errors";

export const METHODS = ["dpm", "euler"] as const;
export type Method = (typeof METHODS)[number];
export const MAX_STEPS = 1000;
export const MAX_GUIDANCE = 100;
const round = Math.fround;

/** (x, sigma) -> v, of x's length. */
export type Velocity = (x: Float32Array, sigma: number) => Promise<Float32Array>;
/** The same with text states. */
export type TextVelocity = (x: Float32Array, sigma: number, states: Float32Array) => Promise<Float32Array>;

/** State after one step: x at `sigmaNext`, and the clean latent x0 predicted at `sigma`; index counts from 0. */
export interface Step {
  readonly index: number;
  readonly sigma: number;
  readonly sigmaNext: number;
  readonly x: Float32Array;
  readonly x0: Float32Array;
}

/** steps + 1 noise levels from exactly 1 to exactly 0: sigma' = s sigma / (1 + (s - 1) sigma). Raises bad_input. */
export function shiftedSigmas(steps: number, shift: number): number[] {
  if (!Number.isInteger(steps) || steps < 1 || steps > MAX_STEPS) {
    throw badInput(`steps must lie between 1 and ${MAX_STEPS}, but is ${steps}.`);
  }
  if (!(Number.isFinite(shift) && shift > 0)) throw badInput(`the time shift must be a positive number, but is ${shift}.`);
  return Array.from({ length: steps + 1 }, (_, i) => {
    const u = (steps - i) / steps;
    return (shift * u) / (shift * u + (1 - u)); // this form is exact at both ends
  });
}

/** The levels of the last `strength` of all steps, to the nearest step and at least one. Raises bad_input. */
export function lastLevels(sigmas: readonly number[], strength: number): number[] {
  if (!(strength > 0 && strength <= 1)) throw badInput(`the strength must lie above 0 and be at most 1, but is ${strength}.`);
  const steps = sigmas.length - 1;
  return sigmas.slice(steps - Math.max(1, Math.floor(strength * steps + 0.5)));
}

/** x_sigma of a clean latent; at sigma 1 it is the noise itself. */
export function noised(clean: Float32Array, noise: Float32Array, sigma: number): Float32Array {
  const [kept, added] = [round(1 - sigma), round(sigma)];
  return clean.map((value, i) => round(value * kept) + round(noise[i]! * added));
}

/** Raises bad_input unless it is one of METHODS. */
export function checkMethod(method: string): asserts method is Method {
  if (!METHODS.includes(method as Method)) throw badInput(`the sampler must be one of ${METHODS.join(", ")}, but is '${method}'.`);
}

/** Raises bad_input unless 0 <= guidance <= 100. */
export function checkGuidance(guidance: number): void {
  if (!(guidance >= 0 && guidance <= MAX_GUIDANCE)) {
    throw badInput(`guidance must lie between 0 and ${MAX_GUIDANCE}, but is ${guidance}.`);
  }
}

/** Classifier-free guidance as two batch-1 calls, or one where guidance is 1: v = v_empty + g (v_text - v_empty). */
export function guided(velocity: TextVelocity, text: Float32Array, empty: Float32Array, guidance: number): Velocity {
  checkGuidance(guidance);
  const weight = round(guidance);
  return async (x, sigma) => {
    const withText = await velocity(x, sigma, text);
    if (guidance === 1) return withText;
    const without = await velocity(x, sigma, empty);
    return without.map((value, i) => value + round(weight * round(withText[i]! - value)));
  };
}

/**
 * Yield a Step for each pair of neighbouring noise levels; the last one's x is the clean latent.
 *
 * Work happens only as the caller iterates, so leaving the loop stops it. Raises bad_input for an unknown method, or
 * levels that do not fall from at most 1 to at least 0.
 */
export async function* sample(
  velocity: Velocity,
  x: Float32Array,
  sigmas: readonly number[],
  method: string = "dpm",
): AsyncGenerator<Step, void, void> {
  checkMethod(method);
  const falling = sigmas.every((sigma, i) => i === 0 || sigmas[i - 1]! > sigma);
  if (sigmas.length < 2 || !falling || sigmas[0]! > 1 || sigmas.at(-1)! < 0) {
    throw badInput("the noise levels must fall from at most 1 to at least 0.");
  }
  let previous: Float32Array | null = null;
  for (let index = 0; index < sigmas.length - 1; index += 1) {
    const [sigma, sigmaNext] = [sigmas[index]!, sigmas[index + 1]!];
    const v = await velocity(x, sigma);
    const x0 = x.map((value, i) => value - round(round(sigma) * v[i]!));
    const weight = method === "dpm" && previous ? extrapolation(sigmas[index - 1]!, sigma, sigmaNext) : 0;
    // 0 * (a difference that overflowed) would be NaN.
    const target: Float32Array = weight === 0 ? x0 : extrapolated(x0, previous!, round(weight));
    x = stepped(x, target, sigmaNext / sigma);
    previous = x0;
    yield { index, sigma, sigmaNext, x, x0 };
  }
}

function extrapolated(x0: Float32Array, before: Float32Array, weight: number): Float32Array {
  return x0.map((value, i) => value + round(weight * round(value - before[i]!)));
}

/** alpha_next (1 - e^-h) = 1 - ratio, without the infinite lambda of sigma = 1 and sigma = 0. */
function stepped(x: Float32Array, target: Float32Array, ratio: number): Float32Array {
  const [kept, added] = [round(ratio), round(1 - ratio)];
  return x.map((value, i) => round(kept * value) + round(added * target[i]!));
}

/** h / (2 h_before): how far 2M extrapolates x0; 0 where a lambda is infinite (first order there). */
function extrapolation(before: number, sigma: number, next: number): number {
  if (before >= 1 || next <= 0) return 0;
  return (0.5 * (lambda(next) - lambda(sigma))) / (lambda(sigma) - lambda(before));
}

function lambda(sigma: number): number {
  return Math.log1p(-sigma) - Math.log(sigma);
}

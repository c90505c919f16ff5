import { expect, test } from "vitest";
import { initialNoise } from "../src/core/noise";
import { guided, lastLevels, noised, sample, shiftedSigmas, type Step, type TextVelocity } from "../src/core/sampler";
import { floats, readVectors, relativeError } from "./vectors";

interface Run {
  method: string;
  steps: number;
  shift: number;
  guidance: number;
  strength: number | null;
  clean_f32: string | null;
  seed: string;
  shape: number[];
  text_f32: string;
  empty_f32: string;
  steps_out: { sigma: number; sigma_next: number; x_f32: string; x0_f32: string }[];
}
interface Sampler {
  schedules: { steps: number; shift: number; strength: number | null; sigmas: number[] }[];
  runs: Run[];
}
const vectors = readVectors<Sampler>("sampler.json");
const TOLERANCE = 1e-6;

const levels = (steps: number, shift: number, strength: number | null): number[] => {
  const all = shiftedSigmas(steps, shift);
  return strength === null ? all : lastLevels(all, strength);
};

test.each(vectors.schedules)("levels of $steps steps, shift $shift, strength $strength", ({ steps, shift, strength, sigmas }) => {
  const found = levels(steps, shift, strength);
  expect(found).toHaveLength(sigmas.length);
  found.forEach((sigma, i) => expect(Math.abs(sigma - sigmas[i]!)).toBeLessThan(1e-15));
});

/** Data are N(0.7, 0.3^2) for each number apart; text pulls. */
const velocity: TextVelocity = async (x, sigma, text) => {
  const [mean, variance, alpha] = [0.7, 0.3 ** 2, 1 - sigma];
  const gain = (alpha * variance) / (alpha ** 2 * variance + sigma ** 2);
  return x.map((value, i) => (value - (mean + gain * (value - alpha * mean))) / sigma - 0.5 * text[i]!);
};

async function stepsOf(run: Run): Promise<Step[]> {
  const sigmas = levels(run.steps, run.shift, run.strength);
  let x = initialNoise(BigInt(run.seed), run.shape);
  if (run.clean_f32) x = noised(floats(run.clean_f32), x, sigmas[0]!);
  const steps: Step[] = [];
  const v = guided(velocity, floats(run.text_f32), floats(run.empty_f32), run.guidance);
  for await (const step of sample(v, x, sigmas, run.method)) steps.push(step);
  return steps;
}

test.each(vectors.runs)("$method, $steps steps, shift $shift, guidance $guidance, strength $strength", async (run) => {
  const steps = await stepsOf(run);
  expect(steps).toHaveLength(run.steps_out.length);
  run.steps_out.forEach((wanted, i) => {
    expect(steps[i]!.index).toBe(i);
    expect(steps[i]!.sigma).toBeCloseTo(wanted.sigma, 14);
    expect(steps[i]!.sigmaNext).toBeCloseTo(wanted.sigma_next, 14);
    expect(relativeError(steps[i]!.x, floats(wanted.x_f32))).toBeLessThanOrEqual(TOLERANCE);
    expect(relativeError(steps[i]!.x0, floats(wanted.x0_f32))).toBeLessThanOrEqual(TOLERANCE);
  });
});

const refused = { code: "bad_input" };

test.each([0, 1001, 2.5, NaN])("%s steps are refused", (steps) => {
  expect(() => shiftedSigmas(steps, 3)).toThrow(expect.objectContaining(refused));
});

test.each([0, -1, NaN, Infinity])("shift %s is refused", (shift) => {
  expect(() => shiftedSigmas(3, shift)).toThrow(expect.objectContaining(refused));
});

test.each([0, 1.01, NaN])("strength %s is refused", (strength) => {
  expect(() => lastLevels([1, 0.5, 0], strength)).toThrow(expect.objectContaining(refused));
});

test.each([-0.1, 100.1, NaN])("guidance %s is refused", (guidance) => {
  expect(() => guided(velocity, new Float32Array(1), new Float32Array(1), guidance)).toThrow(expect.objectContaining(refused));
});

test.each([
  ["another method", [1, 0], "heun"],
  ["levels that rise", [0.5, 1], "dpm"],
  ["a level above 1", [1.5, 0], "dpm"],
  ["a level below 0", [1, -0.1], "dpm"],
  ["one level", [1], "dpm"],
])("%s is refused", async (_name, sigmas, method) => {
  const first = sample(async (x) => x, new Float32Array(1), sigmas, method).next();
  await expect(first).rejects.toMatchObject(refused);
});

test("a difference that overflows does no harm where dpm adds none of it", async () => {
  const large = 1.8e38; // and the largest float32 is 3.4e38
  const velocity = async (x: Float32Array, sigma: number): Promise<Float32Array> => x.map((value) => (value - (sigma === 1 ? -large : large)) / sigma);
  const steps: Step[] = [];
  for await (const step of sample(velocity, new Float32Array(1), [1, 0.9, 0])) steps.push(step);
  expect(steps.at(-1)!.x[0]! / large).toBeCloseTo(1, 5);
});

test("guidance 1 asks once a step, any other twice", async () => {
  for (const [guidance, calls] of [[1, 1], [4, 2], [0, 2]] as const) {
    let asked = 0;
    const v = guided(async (x) => ((asked += 1), x), new Float32Array(1), new Float32Array(1), guidance);
    await v(new Float32Array(1), 1);
    expect(asked).toBe(calls);
  }
});

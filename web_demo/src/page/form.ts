/** The form: what it asks for, and that it is as it was when the page is opened again. */

import { badInput } from "../core/errors";
import { MOST_HEAP_BYTES } from "../engine/heap";
import type { BundleSummary, DrawRequest, EngineChoice } from "../worker/protocol";
import { page } from "./elements";
import { recall, remember } from "./memory";

const FIELDS = ["prompt", "seed", "steps", "guidance", "method", "resolution", "previews", "threads", "limit"] as const;
const MOST_THREADS = 8;
const MEGABYTE = 1_000_000;
const SEED_BITS = 32;

type Saved = Partial<Record<(typeof FIELDS)[number], string>> & { low?: boolean };

/** Fill the form with what was there last, and remember every change. */
export function restoreForm(): void {
  const usual = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1;
  page.threads.value = String(usual);
  page.threads.disabled = !crossOriginIsolated; // without isolation there is no shared memory for them
  const saved = recall<Saved>("form") ?? {};
  for (const field of FIELDS) if (typeof saved[field] === "string" && !page[field].disabled) page[field].value = saved[field];
  page.low.checked = saved.low === true;
  page.form.addEventListener("input", rememberForm);
}

export function rememberForm(): void {
  const values: Saved = Object.fromEntries(FIELDS.map((field) => [field, page[field].value]));
  remember("form", { ...values, low: page.low.checked });
}

/** Offer what the bundle draws; its defaults where the form is empty. */
export function offerBundle(bundle: BundleSummary): void {
  const wanted = page.resolution.value || recall<Saved>("form")?.resolution;
  page.resolution.replaceChildren(...bundle.resolutions.map((side) => new Option(String(side), String(side))));
  if (bundle.resolutions.map(String).includes(wanted ?? "")) page.resolution.value = wanted!;
  page.steps.value ||= String(bundle.defaults.steps);
  page.guidance.value ||= String(bundle.defaults.guidance);
  if (!recall<Saved>("form")?.method) page.method.value = bundle.defaults.method;
}

/** A seed that nobody has chosen. */
export function rollSeed(): void {
  page.seed.value = String(crypto.getRandomValues(new Uint32Array(SEED_BITS / 32))[0]);
  rememberForm();
}

/** What is asked for; raises bad_input where a field is no number. */
export function readRequest(bundle: BundleSummary, cut: boolean): DrawRequest {
  const smallest = Math.min(...bundle.resolutions);
  return {
    prompt: page.prompt.value,
    seed: wholeNumber(page.seed.value, "seed"),
    steps: Number(wholeNumber(page.steps.value || String(bundle.defaults.steps), "number of steps")),
    guidance: number(page.guidance.value || String(bundle.defaults.guidance), "guidance"),
    method: page.method.value,
    resolution: page.low.checked ? smallest : Number(page.resolution.value),
    cut,
    previewEvery: Number(page.previews.value),
  };
}

/** How the engine is to run. */
export function readEngine(): EngineChoice {
  const lowMemory = page.low.checked;
  const threads = Math.min(Math.max(Math.trunc(Number(page.threads.value)) || 1, 1), 16);
  const limit = Number(page.limit.value) * MEGABYTE;
  const limitBytes = limit > 0 ? Math.min(limit, MOST_HEAP_BYTES) : MOST_HEAP_BYTES;
  return { threads: lowMemory || !crossOriginIsolated ? 1 : threads, lowMemory, limitBytes };
}

function wholeNumber(text: string, name: string): bigint {
  if (!/^\s*-?[0-9]{1,40}\s*$/.test(text)) throw badInput(`the ${name} must be a whole number, but is "${text.slice(0, 40)}".`);
  return BigInt(text.trim());
}

function number(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw badInput(`the ${name} must be a number, but is "${text.slice(0, 40)}".`);
  return value;
}

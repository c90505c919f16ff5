/** A drawing without an engine: what is loaded when, what is told, and what is refused. */

import { expect, test } from "vitest";
import { Bundle } from "../src/core/bundle";
import { LiraError } from "../src/core/errors";
import { parseManifest, type Manifest } from "../src/core/manifest";
import { Pipeline, type PipelineEvent, type Request } from "../src/core/pipeline";
import { MemorySource } from "../src/core/source";
import { asBytes, tokenizerRecord } from "./bundle_files";
import { ScriptedBackend } from "./scripted";
import { readVectors } from "./vectors";

const { cases } = readVectors<{ cases: { name: string; text: string }[] }>("manifests.json");
const bytes = new TextEncoder().encode(cases.find(({ name }) => name === "two resolutions")!.text);
const whole = parseManifest(bytes); // draws at 4 px and at 8
const tokenizer = new Blob([asBytes(tokenizerRecord()) as Uint8Array<ArrayBuffer>]);
const request: Request = { prompt: "a red apple", steps: 3 };

function bundle(change: Partial<Manifest> = {}, empty: Float32Array<ArrayBuffer> | null = new Float32Array(77)): Bundle {
  const files = new Map([[whole.tokenizer.path, tokenizer]]);
  if (empty) files.set(whole.empty_prompt!.path, new Blob([empty]));
  return new Bundle({ manifest: { ...whole, ...change }, bytes, digest: "d" }, new MemorySource("memory", files));
}

async function draw(asked: Partial<Request> = {}, backend = new ScriptedBackend(), of = bundle()): Promise<PipelineEvent[]> {
  const events: PipelineEvent[] = [];
  for await (const event of new Pipeline(of, backend).generate({ ...request, ...asked })) events.push(event);
  return events;
}

const WHOLE = (side: number): string[] => [
  ...["load text_encoder null", "unload text_encoder"],
  ...[`load denoiser ${side}`, "unload denoiser", `load decoder ${side}`, "unload decoder"],
];

test.each([[{}, 4], [{ resolution: 8 }, 8]])("asked for %j: each graph is unloaded before the next is loaded", async (asked, side) => {
  const backend = new ScriptedBackend();
  const events = await draw(asked, backend);
  expect(backend.calls).toEqual(WHOLE(side));
  expect(events.at(-1)).toMatchObject({ kind: "image", side, pixels: new Uint8Array(3 * side * side) });
});

test("events tell stages and steps in their order", async () => {
  const told = (await draw()).map((event) => `${event.kind} ${"stage" in event ? event.stage : "total" in event ? `${event.index} of ${event.total}` : ""}`);
  expect(told).toEqual([
    ...["stage_started text_encoder", "stage_finished text_encoder", "stage_started denoiser", "step 0 of 3", "step 1 of 3"],
    ...["step 2 of 3", "stage_finished denoiser", "stage_started decoder", "stage_finished decoder", "image "],
  ]);
});

test("reasoning steps are those for the prompt, not those for the empty one", async () => {
  const told = Float32Array.from({ length: 77 }, () => 5);
  const backend = new ScriptedBackend((component, inputs) => {
    if (component === "text_encoder") return { text_states: told };
    return component === "denoiser" ? { reasoning_steps: Int32Array.of(inputs["text_states"]![0] === 5 ? 3 : 9) } : {};
  });
  const steps = (await draw({}, backend)).filter((event) => event.kind === "step");
  expect(steps.map((step) => step.reasoningSteps)).toEqual([3, 3, 3]);
});

test("a loop that is left in the middle leaves nothing loaded", async () => {
  const backend = new ScriptedBackend();
  for await (const event of new Pipeline(bundle(), backend).generate(request)) if (event.kind === "step") break;
  expect(backend.calls.at(-1)).toBe("unload denoiser");
});

test("a failure names its stage, and leaves nothing loaded", async () => {
  const backend = new ScriptedBackend((component) => {
    if (component === "denoiser") throw new LiraError("no.", "out_of_memory");
    return {};
  });
  await expect(draw({}, backend)).rejects.toMatchObject({ code: "out_of_memory", stage: "denoiser" });
  expect(backend.calls.at(-1)).toBe("unload denoiser");
});

test("values that are not finite are named, and leave nothing loaded", async () => {
  const backend = new ScriptedBackend((component) => (component === "decoder" ? { image: Float32Array.of(0, NaN) } : {}));
  await expect(draw({}, backend)).rejects.toMatchObject({ code: "not_finite", message: expect.stringMatching(/^the decoder returned image /) });
  expect(backend.calls).toEqual(WHOLE(4));
});

test("guidance 1 needs no empty prompt, any other does", async () => {
  expect((await draw({ guidance: 1 }, undefined, bundle({}, null))).at(-1)!.kind).toBe("image");
  await expect(draw({ guidance: 2 }, undefined, bundle({}, null))).rejects.toMatchObject({ code: "missing" });
  const damaged = bundle({}, new Float32Array(77).fill(Infinity));
  await expect(draw({ guidance: 2 }, undefined, damaged)).rejects.toMatchObject({ code: "tensor_not_finite" });
});

test("a long prompt is refused with what it would lose; its beginning is drawn where that is asked for", async () => {
  const prompt = `${"apple ".repeat(75)}and the end`;
  const backend = new ScriptedBackend();
  await expect(draw({ prompt }, backend)).rejects.toMatchObject({ code: "bad_input", message: expect.stringContaining('"and the end"') });
  expect(backend.calls).toEqual([]);
  const [first, ...events] = await draw({ prompt, cut: true });
  expect(first).toEqual({ kind: "prompt_cut", dropped: "and the end" });
  expect(events.at(-1)!.kind).toBe("image");
});

test.each<[string, Partial<Request>]>([
  ["no prompt", { prompt: "" }],
  ["white space of every kind", { prompt: " \n\u3000\x1c\x85" }],
  ["a seed of 65 bits", { seed: 1n << 64n }],
  ["no steps", { steps: 0 }],
  ["another sampler", { method: "heun" }],
  ["too much guidance", { guidance: 101 }],
  ["a size that the bundle does not draw", { resolution: 6 }],
])("%s is refused before anything is loaded", async (_name, asked) => {
  const backend = new ScriptedBackend();
  await expect(draw(asked, backend)).rejects.toMatchObject({ code: "bad_input" });
  expect(backend.calls).toEqual([]);
});

test.each<[string, Partial<Manifest>]>([
  ["for another engine", { target: "coreml" }],
  ["without a decoder", { components: whole.components.filter(({ name }) => name !== "decoder"), partial: true }],
])("a bundle %s is refused", (_name, change) => {
  expect(() => new Pipeline(bundle(change), new ScriptedBackend())).toThrow(expect.objectContaining({ code: "bad_input" }));
});

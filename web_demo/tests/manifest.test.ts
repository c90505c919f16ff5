import { expect, test } from "vitest";
import { DAMAGED, type Code, type LiraError } from "../src/core/errors";
import { parseManifest } from "../src/core/manifest";
import { bytes, readVectors } from "./vectors";

interface Manifests {
  cases: { name: string; text?: string; text_b64?: string; code: Code | null }[];
}
const { cases } = readVectors<Manifests>("manifests.json");

function codeOf(data: Uint8Array): Code | null {
  try {
    parseManifest(data);
    return null;
  } catch (error) {
    return (error as LiraError).code;
  }
}

test("there are cases of every code of a manifest, and good ones", () => {
  const codes = new Set(cases.map((each) => each.code));
  for (const code of DAMAGED.filter((each) => each.startsWith("manifest_"))) {
    expect(codes.has(code) || code === "manifest_missing").toBe(true);
  }
  expect(cases.filter((each) => each.code === null).length).toBeGreaterThanOrEqual(15);
});

test.each(cases)("$name: $code", ({ text, text_b64, code }) => {
  expect(codeOf(text === undefined ? bytes(text_b64!) : new TextEncoder().encode(text))).toBe(code);
});

test("4 MiB and a byte is no manifest", () => {
  expect(codeOf(new Uint8Array(4 * 2 ** 20 + 1).fill(32))).toBe("manifest_unreadable");
});

test("a shape too large to count is refused, not counted for ever", () => {
  const good = JSON.parse(cases.find((each) => each.code === null)!.text!) as { resolutions: number[] };
  good.resolutions = [1e300];
  const text = JSON.stringify(good).replace("1e+300", `1${"0".repeat(300)}`);
  expect(codeOf(new TextEncoder().encode(text))).toBe("manifest_inconsistent");
});

type Loose = Record<string, any>;
/** A good manifest with other whole numbers, as Python's reader judges it; its checksum stays wrong. */
function numbers(change: (manifest: Loose) => void, replace: (text: string) => string = (text) => text): Code | null {
  const good = JSON.parse(cases.find(({ name }) => name === "two resolutions")!.text!) as Loose;
  change(good);
  return codeOf(new TextEncoder().encode(replace(JSON.stringify(good))));
}
const digits = (count: number): string => "1".repeat(count);
const OTHERWISE_GOOD = "manifest_checksum";

test.each([
  ["source.seed", "18446744073709551617", OTHERWISE_GOOD],
  ["source.seed", digits(4300), OTHERWISE_GOOD],
  ["source.seed", digits(4301), "manifest_unreadable"],
  ["source.seed", `-${digits(4300)}`, "manifest_unreadable"], // the sign is counted
  ["tokenizer.bytes", String(2n ** 80n), OTHERWISE_GOOD],
  ["tokenizer.bytes", String(-(2n ** 80n)), "manifest_unreadable"],
  ["sampler.steps", String(2n ** 80n), "manifest_unreadable"],
  ["sampler.guidance", digits(400), "manifest_unreadable"],
  ["format_version", digits(4300), "manifest_version"],
  ["format_version", digits(4400), "manifest_unreadable"],
])("%s of many digits", (path, number, code) => {
  const [field, within] = path.split(".") as [string, string | undefined];
  const set = (good: Loose): void => void ((within ? good[field] : good)[within ?? field] = "@");
  expect(numbers(set, (text) => text.replace('"@"', number))).toBe(code);
});

test("of a manifest of another version no number is looked at but the version", () => {
  expect(numbers((good) => Object.assign(good, { format_version: 6, seed: "@" }), (text) => text.replace('"@"', digits(5000)))).toBe("manifest_version");
});

/** A partial manifest of one decoder for pictures of `side` px, whose golden output counts `count` numbers. */
function decoderOf(side: bigint, scale: bigint, count: bigint): Code | null {
  const whole = (value: bigint): string => `@${value}@`;
  const named = ({ name }: Loose): boolean => name === "decoder";
  const change = (good: Loose): void => {
    const decoder = good["components"].find(named);
    const [graph] = decoder.graphs;
    graph.resolution = whole(side);
    graph.inputs[0].shape = [1, 4, whole(side / scale), whole(side / scale)];
    graph.outputs[0].shape = [1, 3, whole((side / scale) * scale), whole((side / scale) * scale)];
    graph.golden = { path: "golden.f32", bytes: whole(4n * count), sha256: good["tokenizer"].sha256, shape: [whole(count)], dtype: "float32" };
    decoder.graphs = [graph];
    Object.assign(good, { resolutions: [whole(side)], partial: true, components: [decoder], empty_prompt: null });
    good["latent"].scale = whole(scale);
  };
  return numbers(change, (text) => text.replace(/"@(\d+)@"/g, "$1"));
}

test.each([
  ["a golden output of 2^40 px", 2n ** 40n, 2n, 16384n, OTHERWISE_GOOD],
  ["one that has a number less", 2n ** 40n, 2n, 16383n, "manifest_inconsistent"],
  ["2^53 + 1 px at a scale of 2", 2n ** 53n + 1n, 2n, 16384n, "manifest_inconsistent"],
])("%s", (_name, side, scale, count, code) => expect(decoderOf(side, scale, count)).toBe(code));

test("the empty prompt's bytes are counted to the last one", () => {
  const wide = (bytes: bigint): Code | null =>
    numbers(
      (good) => Object.assign(good, { partial: true, components: good["components"].filter(({ name }: Loose) => name === "text_encoder") }),
      (text) => text.replaceAll(/\[1,77,1\]/g, `[1,77,${2n ** 50n}]`).replace(/("empty_prompt":\{[^}]*"bytes":)\d+/, `$1${bytes}`),
    );
  expect(wide(2n ** 50n * 308n)).toBe(OTHERWISE_GOOD);
  expect(wide(2n ** 50n * 308n + 1n)).toBe("manifest_inconsistent");
});

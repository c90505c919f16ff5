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

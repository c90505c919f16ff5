/** Lines are of a length that can be read, whatever a bundle says. */

import { expect, test } from "vitest";
import { LiraError } from "../src/core/errors";
import { parseManifest } from "../src/core/manifest";
import { printable } from "../src/core/say";
import { bundleLine } from "../src/page/words";
import { readVectors } from "./vectors";

test.each([
  ["a line", "a line"],
  ["x".repeat(1200), "x".repeat(1200)],
  [`a${"x".repeat(5000)}b`, `a${"x".repeat(596)} ... ${"x".repeat(596)}b`],
  ["\u202ea\n\u00a0é 😀", "\\u{202e}a\\u{a}\\u{a0}é 😀"],
  ["\u0001".repeat(1200), `${"\\u{1}".repeat(119)}\\u ... 1}${"\\u{1}".repeat(119)}`],
  ["😀".repeat(1200), "😀".repeat(1200)],
  [`a${"😀".repeat(5000)}b`, `a${"😀".repeat(596)} ... ${"😀".repeat(596)}b`],
])("%j", (text, line) => expect(printable(text)).toBe(line));

test("a sentence about a field of 200,000 characters", () => {
  const good = readVectors<{ cases: { code: string | null; text: string }[] }>("manifests.json").cases.find(({ code }) => code === null)!.text;
  const bad = good.replace("{", `{"${"k".repeat(200_000)}": 1,`);
  let said: unknown;
  try {
    parseManifest(new TextEncoder().encode(bad));
  } catch (error) {
    said = error;
  }
  expect(said).toBeInstanceOf(LiraError);
  expect((said as LiraError).message).toMatch(/^the manifest cannot be read: no field "k+ \.\.\. k+" is expected at \$\.$/);
  expect((said as LiraError).message.length).toBeLessThanOrEqual(1200);
});

test("a bundle's line, of a long name too", () => {
  const bundle = { digest: "d", preset: "nano", recipes: ["fp32", "int8"], resolutions: [256], bytes: 18e6, files: 12, kept: true, defaults: { method: "dpm", steps: 20, guidance: 3 } };
  expect(bundleLine(bundle)).toBe("nano, fp32, int8, 256 px: 12 files, 18.0 MB, all checked; kept on this device.");
  const line = bundleLine({ ...bundle, preset: "\u202e" + "n".repeat(3000), kept: false });
  expect(line).toMatch(/^\\u\{202e\}n+ \.\.\. n+, fp32.* in memory until this page is closed\.$/);
  expect(line.length).toBeLessThanOrEqual(1200);
});

/** What is kept, and what takes its place. */

import { beforeEach, expect, test } from "vitest";
import type { LiraError } from "../src/core/errors";
import type { MemorySource } from "../src/core/source";
import { openKept, receive, type OnBytes } from "../src/storage/receive";
import { stubOpfs } from "./opfs";
import { smallBundle, type ManifestRecord } from "./small_bundle";

const quiet: OnBytes = () => {};
const kept = async (): Promise<string | undefined> => (await openKept(null, quiet))?.open.manifest.preset;
const codeOf = async (source: MemorySource, onBytes = quiet): Promise<string | null> =>
  receive(source, onBytes).then(() => null, (error: LiraError) => error.code);

beforeEach(async () => {
  stubOpfs();
  await receive(smallBundle((manifest) => void (manifest.preset = "the good one")), quiet);
});

test("a bundle takes the place of the one before it", async () => {
  expect(await kept()).toBe("the good one");
  expect(await receive(smallBundle((manifest) => void (manifest.preset = "another")), quiet)).toMatchObject({ kept: true });
  expect(await kept()).toBe("another");
});

test.each<[string, (manifest: ManifestRecord) => void, Uint8Array | undefined, string]>([
  ["for another engine", (manifest) => void (manifest.target = "coreml"), undefined, "bad_input"],
  ["without a decoder", (m) => void ((m.components = m.components.filter(({ name }) => name !== "decoder")), (m.partial = true)), undefined, "bad_input"],
  ["with another tokenizer", () => {}, new TextEncoder().encode("{}"), "tokenizer_unreadable"],
])("a bundle %s takes the place of none", async (_name, change, tokenizer, code) => {
  let read = 0;
  expect(await codeOf(smallBundle(change, tokenizer), (done) => (read = done))).toBe(code);
  if (code === "bad_input") expect(read).toBe(0); // its manifest says so already
  expect(await kept()).toBe("the good one");
});

test("without room the same is refused of a bundle in memory", async () => {
  stubOpfs(false);
  expect(await receive(smallBundle(), quiet)).toMatchObject({ kept: false });
  expect(await codeOf(smallBundle(() => {}, new TextEncoder().encode("{}")))).toBe("tokenizer_unreadable");
});

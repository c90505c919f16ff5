/** What is kept, and what takes its place. */

import { beforeEach, expect, test } from "vitest";
import type { LiraError } from "../src/core/errors";
import type { MemorySource } from "../src/core/source";
import { openKept, receive, type OnBytes } from "../src/storage/receive";
import { Store } from "../src/storage/store";
import { stubOpfs, type FolderHandle } from "./opfs";
import { smallBundle, type ManifestRecord } from "./small_bundle";

const quiet: OnBytes = () => {};
const kept = async (): Promise<string | undefined> => (await openKept(null, quiet))?.open.manifest.preset;
const codeOf = async (source: MemorySource, onBytes = quiet): Promise<string | null> =>
  receive(source, onBytes).then(() => null, (error: LiraError) => error.code);

let disk: FolderHandle;

beforeEach(async () => {
  disk = stubOpfs();
  await receive(smallBundle((manifest) => void (manifest.preset = "the good one")), quiet);
});

test("a bundle takes the place of the one before it", async () => {
  expect(await kept()).toBe("the good one");
  expect(await receive(smallBundle((manifest) => void (manifest.preset = "another")), quiet)).toMatchObject({ kept: true });
  expect(await kept()).toBe("another");
});

test.each<[string, (manifest: ManifestRecord) => void, Uint8Array | undefined, number, string]>([
  ["for another engine", (manifest) => void (manifest.target = "coreml"), undefined, 1, "bad_input"],
  ["without a decoder", (m) => void ((m.components = m.components.filter(({ name }) => name !== "decoder")), (m.partial = true)), undefined, 1, "bad_input"],
  ["with another tokenizer", () => {}, new TextEncoder().encode("{}"), 1, "tokenizer_unreadable"],
  ["whose empty prompt is no number", () => {}, undefined, 255, "tensor_not_finite"],
])("a bundle %s takes the place of none", async (_name, change, tokenizer, emptyByte, code) => {
  let read = 0;
  expect(await codeOf(smallBundle(change, tokenizer, emptyByte), (done) => (read = done))).toBe(code);
  if (code === "bad_input") expect(read).toBe(0); // its manifest says so already
  expect(await kept()).toBe("the good one");
});

test("without room the same is refused of a bundle in memory", async () => {
  stubOpfs(false);
  expect(await receive(smallBundle(), quiet)).toMatchObject({ kept: false });
  expect(await codeOf(smallBundle(() => {}, new TextEncoder().encode("{}")))).toBe("tokenizer_unreadable");
});

test("where another tab holds a file of the bundle before it, a bundle takes its place still, and the rest goes", async () => {
  const home = await disk.getDirectoryHandle("lira");
  const [held] = home.inside.keys();
  home.held.add(held!);
  for (const name of ["a half", "another half"]) await home.getDirectoryHandle(name, { create: true });
  expect(await receive(smallBundle((manifest) => void (manifest.preset = "another")), quiet)).toMatchObject({ kept: true });
  expect(await kept()).toBe("another");
  expect(home.inside.size).toBe(2);
  await expect(Store.removeOthers()).rejects.toThrow("held");
  expect(await kept()).toBeUndefined();
});

test("a manifest that is empty is being written: its bundle is not kept yet", async () => {
  const home = await disk.getDirectoryHandle("lira");
  const writing = await home.getDirectoryHandle("0 comes first", { create: true });
  await writing.getFileHandle("manifest.json", { create: true });
  home.inside = new Map([["0 comes first", writing], ...home.inside]);
  expect(await kept()).toBe("the good one");
});

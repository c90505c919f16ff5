import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { checkBundle, checkFile, checkStatedParity, readManifest } from "../src/core/check";
import type { Code, LiraError } from "../src/core/errors";
import { filesOf, type Manifest } from "../src/core/manifest";
import { MemorySource, type BundleSource } from "../src/core/source";
import { DiskSource } from "./disk";
import { bytes, readVectors } from "./vectors";

interface Change {
  op: string;
  path: string;
  to?: string;
  offset?: number;
  text?: string;
}
interface Files {
  base: { manifest: string; files: Record<string, string> };
  cases: { name: string; change: Change[]; code: Code | null; open_code: Code | null }[];
}
const { base, cases } = readVectors<Files>("files.json");
const yard = mkdtempSync(join(tmpdir(), "lira-files-"));
afterAll(() => rmSync(yard, { recursive: true }));

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

const basePlace = join(yard, "base");
write(join(basePlace, "manifest.json"), base.manifest);
for (const [path, content] of Object.entries(base.files)) write(join(basePlace, path), bytes(content));

function apply(folder: string, { op, path, to, offset, text }: Change): void {
  const place = join(folder, path);
  const edit = (change: (data: Buffer) => Uint8Array): void => write(place, change(readFileSync(place)));
  const operations: Record<string, () => void> = {
    delete: () => rmSync(place, { recursive: true }),
    truncate: () => edit((data) => data.subarray(0, offset)),
    flip: () => edit((data) => ((data[offset!]! ^= 1), data)),
    append: () => edit((data) => Buffer.concat([data, Buffer.of(0)])),
    add: () => write(place, "extra"),
    write: () => write(place, text!),
    directory: () => (rmSync(place, { recursive: true, force: true }), mkdirSync(place, { recursive: true })),
    link: () => {
      if (existsSync(place)) renameSync(place, join(dirname(place), to!));
      symlinkSync(to!, place);
    },
  };
  operations[op]!();
}

async function codeOf(work: Promise<unknown>): Promise<Code | null> {
  return work.then(() => null, (error: LiraError) => error.code);
}

/** What opens a bundle looks at what the manifest names; what checks it, at everything. */
async function openFiles(source: DiskSource): Promise<void> {
  const { manifest } = await readManifest(source);
  for (const entry of filesOf(manifest)) await checkFile(source, entry);
}

test.each(cases)("$name: $code", async ({ change, code, open_code }) => {
  const folder = join(mkdtempSync(join(yard, "case-")), "bundle");
  cpSync(basePlace, folder, { recursive: true });
  for (const each of change) apply(folder, each);
  expect(await codeOf(checkBundle(new DiskSource(folder)))).toBe(code);
  expect(await codeOf(openFiles(new DiskSource(folder)))).toBe(open_code);
});

const blobs = (): Map<string, Blob> => {
  const files = Object.entries(base.files).map(([path, content]): [string, Blob] => [path, new Blob([bytes(content)])]);
  return new Map([["manifest.json", new Blob([base.manifest])], ...files]);
};

test.each<[string, (manifest: Manifest) => Manifest, boolean]>([
  ["as it was exported", (manifest) => manifest, true],
  ["a component", (m) => ({ ...m, components: m.components.map((each, i) => (i === 1 ? { ...each, parity: { ...each.parity, passed: false } } : each)) }), false],
  ["the picture", (m) => ({ ...m, trajectory: { image_psnr_db: 12, threshold_db: 30, passed: false } as Manifest["trajectory"] }), false],
])("a manifest that says itself what lost parity is refused: %s", async (_name, change, good) => {
  const { manifest } = await readManifest(new MemorySource("memory", blobs()));
  const check = (): void => checkStatedParity(change(manifest));
  if (good) expect(check).not.toThrow();
  else expect(check).toThrow(expect.objectContaining({ code: "parity_lost" }));
});

test("bytes are counted as they are read", async () => {
  let read = 0;
  const { manifest } = await checkBundle(new MemorySource("memory", blobs()), (count) => (read += count));
  expect(read).toBe(filesOf(manifest).reduce((sum, entry) => sum + entry.bytes, 0));
});

test("a bundle that says itself that it lost parity is refused as a whole", async () => {
  const said = readVectors<{ cases: { name: string; text: string }[] }>("manifests.json").cases.find(({ name }) => name === "lost parity, and says so")!;
  const files = blobs().set("manifest.json", new Blob([said.text]));
  expect(await codeOf(checkBundle(new MemorySource("memory", files)))).toBe("parity_lost");
});

test("a file too many is named in letters that can be read", async () => {
  const files = blobs().set("a\u202eb\n", new Blob());
  await expect(checkBundle(new MemorySource("memory", files))).rejects.toMatchObject({ code: "extra", message: expect.stringContaining("a\\u{202e}b\\u{a}") });
});

/** A source of one file, which is `size` bytes if it is to be believed, and gives what `pull` gives. */
const single = (size: number | null, pull: (to: ReadableStreamDefaultController<Uint8Array>) => void, cancel = (): void => {}): BundleSource => ({
  name: "the source",
  find: async () => ({ kind: "file", size, stream: async () => new ReadableStream<Uint8Array>({ pull, cancel }) }),
  list: async () => null,
});

test.each<[string, number | null, (pieces: number, to: ReadableStreamDefaultController<Uint8Array>) => void, Code, number]>([
  ["does not end is left at the size it should have", null, (_n, to) => to.enqueue(new Uint8Array(64)), "wrong_size", 100],
  ["ends too early", null, (n, to) => (n > 1 ? to.close() : to.enqueue(new Uint8Array(1))), "wrong_size", 2],
  ["says another size is not read", 1_000_000, (_n, to) => to.enqueue(new Uint8Array(64)), "wrong_size", 0],
  ["breaks off is unreadable", null, (_n, to) => to.error(new Error("reset")), "unreadable", 1],
])("a file that %s", async (_name, size, give, code, most) => {
  const { manifest } = await readManifest(new MemorySource("memory", blobs()));
  let pieces = 0;
  const found = checkFile(single(size, (to) => give((pieces += 1), to)), manifest.tokenizer);
  await expect(found).rejects.toMatchObject({ code });
  expect(pieces).toBeLessThanOrEqual(most);
});

test("of a file that is refused half-way the rest is not asked for", async () => {
  const { manifest } = await readManifest(new MemorySource("memory", blobs()));
  let cancelled = false;
  const endless = single(null, (to) => to.enqueue(new Uint8Array(64)), () => (cancelled = true));
  expect(await codeOf(checkFile(endless, manifest.tokenizer))).toBe("wrong_size");
  expect(cancelled).toBe(true);
});

test("a manifest that does not end is left after 4 MiB", async () => {
  let pieces = 0;
  const endless = single(null, (to) => (pieces += 1) < 20 ? to.enqueue(new Uint8Array(2 ** 20).fill(32)) : to.error(new Error("asked for more")));
  expect(await codeOf(readManifest(endless))).toBe("manifest_unreadable");
  expect(pieces).toBeLessThan(10);
});

import { cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { checkBundle, checkFile, readManifest } from "../src/core/check";
import type { Code, LiraError } from "../src/core/errors";
import { filesOf } from "../src/core/manifest";
import { MemorySource } from "../src/core/source";
import { DiskSource } from "./disk";
import { bytes, readVectors } from "./vectors";

interface Change {
  op: string;
  path: string;
  to?: string;
  offset?: number;
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

function apply(folder: string, { op, path, to, offset }: Change): void {
  const place = join(folder, path);
  const edit = (change: (data: Buffer) => Uint8Array): void => write(place, change(readFileSync(place)));
  const operations: Record<string, () => void> = {
    delete: () => rmSync(place, { recursive: true }),
    truncate: () => edit((data) => data.subarray(0, offset)),
    flip: () => edit((data) => ((data[offset!]! ^= 1), data)),
    append: () => edit((data) => Buffer.concat([data, Buffer.of(0)])),
    add: () => write(place, "extra"),
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

test("bytes are counted as they are read", async () => {
  let read = 0;
  const { manifest } = await checkBundle(new MemorySource("memory", blobs()), (count) => (read += count));
  expect(read).toBe(filesOf(manifest).reduce((sum, entry) => sum + entry.bytes, 0));
});

test("a file of no known size that does not end is left at the size it should have", async () => {
  const source = new MemorySource("memory", blobs());
  const { manifest } = await readManifest(source);
  let pieces = 0;
  const endless = { kind: "file" as const, size: null, stream: async () => new ReadableStream<Uint8Array>({ pull: (to) => (pieces += 1, to.enqueue(new Uint8Array(64))) }) };
  const found = checkFile({ name: "endless", find: async () => endless, list: async () => null }, manifest.tokenizer);
  await expect(found).rejects.toMatchObject({ code: "wrong_size" });
  expect(pieces).toBeLessThan(100);
});

test("a file that breaks off while it is read is unreadable", async () => {
  const source = new MemorySource("memory", blobs());
  const { manifest } = await readManifest(source);
  const broken = { kind: "file" as const, size: null, stream: async () => new ReadableStream<Uint8Array>({ pull: (to) => to.error(new Error("reset")) }) };
  const found = checkFile({ name: "broken", find: async () => broken, list: async () => null }, manifest.tokenizer);
  await expect(found).rejects.toMatchObject({ code: "unreadable" });
});

/** A bundle is checked while it is copied into the store; where there is no room, it is used from memory. */

import { Bundle } from "../core/bundle";
import { checkFile, checkNothingElse, checkStatedParity, readManifest, type OpenManifest } from "../core/check";
import { LiraError } from "../core/errors";
import { MANIFEST_NAME, filesOf, type FileEntry } from "../core/manifest";
import { MemorySource, type BundleSource } from "../core/source";
import { ClipTokenizer } from "../core/tokenizer";
import { Store } from "./store";

/** source: where the bundle is to be read from now on. kept: whether it is there the next time. */
export interface Received {
  readonly open: OpenManifest;
  readonly source: BundleSource;
  readonly kept: boolean;
}

/** Bytes that were checked so far, of all. */
export type OnBytes = (done: number, total: number) => void;

/**
 * Check every file of `source` and keep it in the place of what was kept. Raises LiraError where a file is wrong, and then
 * keeps nothing of that file, or where the bundle cannot be drawn with; what was kept before stays then.
 */
export async function receive(source: BundleSource, onBytes: OnBytes): Promise<Received> {
  const open = await readManifest(source);
  new Bundle(open, source).requireRunnable();
  await checkNothingElse(source, open.manifest);
  checkStatedParity(open.manifest); // one that states a loss is never kept
  try {
    return { open, source: await copyToStore(source, open, onBytes), kept: true };
  } catch (error) {
    if (error instanceof LiraError) throw error;
    // The browser keeps nothing for this page: no room, a private window, or it does not know how.
    await Store.remove(open.digest).catch(() => {});
    return { open, source: await copyToMemory(source, open, onBytes), kept: false };
  }
}

async function copyToStore(source: BundleSource, open: OpenManifest, onBytes: OnBytes): Promise<Store> {
  const store = await Store.of(open.digest);
  const count = counter(open, onBytes);
  for (const entry of filesOf(open.manifest)) {
    // What an earlier try brought here whole is not read a second time.
    if (await holds(store, entry)) count(entry.bytes);
    else {
      await store.write(entry.path, (write) =>
        checkFile(source, entry, (piece) => {
          write(piece);
          count(piece.length);
        }),
      );
    }
  }
  await checkDrawable(open, store);
  await store.write(MANIFEST_NAME, async (write) => write(open.bytes));
  await Store.removeOthers(open.digest).catch(() => {}); // another tab may hold a file of one
  return store;
}

/** Read what a drawing reads beside the graphs. */
async function checkDrawable(open: OpenManifest, source: BundleSource): Promise<void> {
  const bundle = new Bundle(open, source);
  ClipTokenizer.parse(await bundle.read(open.manifest.tokenizer.path));
  await bundle.emptyPrompt();
}

async function holds(store: Store, entry: FileEntry): Promise<boolean> {
  return checkFile(store, entry).then(
    () => true,
    (error: unknown) => {
      if (error instanceof LiraError) return false;
      throw error;
    },
  );
}

async function copyToMemory(source: BundleSource, open: OpenManifest, onBytes: OnBytes): Promise<MemorySource> {
  const files = new Map([[MANIFEST_NAME, new Blob([open.bytes])]]);
  const count = counter(open, onBytes);
  for (const entry of filesOf(open.manifest)) {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    await checkFile(source, entry, (piece) => {
      pieces.push(piece as Uint8Array<ArrayBuffer>);
      count(piece.length);
    });
    files.set(entry.path, new Blob(pieces));
  }
  const copy = new MemorySource(source.name, files);
  await checkDrawable(open, copy);
  return copy;
}

function counter(open: OpenManifest, onBytes: OnBytes): (bytes: number) => void {
  const total = filesOf(open.manifest).reduce((sum, entry) => sum + entry.bytes, 0);
  let done = 0;
  return (bytes) => onBytes((done += bytes), total);
}

/** Open the bundle that is kept, null where there is none; every byte is checked unless its digest is `checked` already. */
export async function openKept(checked: string | null, onBytes: OnBytes): Promise<Received | null> {
  const store = await Store.kept().catch(() => null);
  if (!store) return null;
  const open = await readManifest(store);
  if (open.digest !== checked) {
    const count = counter(open, onBytes);
    for (const entry of filesOf(open.manifest)) await checkFile(store, entry, (piece) => count(piece.length));
  }
  return { open, source: store, kept: true };
}

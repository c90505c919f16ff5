/** A bundle's files against its manifest: all there, nothing else, no links, sizes and SHA-256. */

import { LiraError } from "./errors";
import {
  MANIFEST_NAME,
  MAX_MANIFEST_BYTES,
  SIGNATURE_NAME,
  filesOf,
  foldersOf,
  parseManifest,
  type FileEntry,
  type Manifest,
} from "./manifest";
import { Sha256, sha256 } from "./sha256";
import type { BundleSource, Found } from "./source";

/** A manifest that was read and checked; digest: the SHA-256 of its bytes, which stands for every file. */
export interface OpenManifest {
  readonly manifest: Manifest;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: string;
}

/** Takes a file's pieces as they are read. */
export type Sink = (piece: Uint8Array) => void | Promise<void>;

/** Read a bundle's manifest; raises LiraError with one sentence. */
export async function readManifest(source: BundleSource): Promise<OpenManifest> {
  const found = await source.find(MANIFEST_NAME);
  if (found?.kind === "link") {
    throw new LiraError(`${MANIFEST_NAME} of ${source.name} is a link, which may point outside of it.`, "link");
  }
  if (found?.kind !== "file") {
    throw new LiraError(`${source.name} holds no ${MANIFEST_NAME}, so it is not a complete bundle.`, "manifest_missing");
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  await readPieces(found, MANIFEST_NAME, (piece) => {
    pieces.push(piece);
    length += piece.length;
    if (length > MAX_MANIFEST_BYTES) {
      const tooLarge = `${MANIFEST_NAME} is larger than ${MAX_MANIFEST_BYTES} bytes, so it is not a manifest.`;
      throw new LiraError(tooLarge, "manifest_unreadable");
    }
  });
  const bytes = new Uint8Array(await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  return { manifest: parseManifest(bytes), bytes, digest: sha256(bytes) };
}

/** Read a file to its end, and give its pieces to `sink`; raises LiraError where it is not as its entry says. */
export async function checkFile(source: BundleSource, entry: FileEntry, sink: Sink = () => {}): Promise<void> {
  const found = await source.find(entry.path);
  if (found?.kind === "link") {
    throw new LiraError(`${found.at} of ${source.name} is a link, which may point outside of it.`, "link");
  }
  if (found?.kind !== "file") throw new LiraError(`${source.name} lacks the file ${entry.path}.`, "missing");
  const wrongSize = (size: number | string): LiraError =>
    new LiraError(`${entry.path} has ${size} bytes, but its manifest says ${entry.bytes}.`, "wrong_size");
  if (found.size !== null && found.size !== entry.bytes) throw wrongSize(found.size);
  const digest = new Sha256();
  let length = 0;
  await readPieces(found, entry.path, (piece) => {
    length += piece.length;
    if (length > entry.bytes) throw wrongSize("more");
    digest.update(piece);
    return sink(piece);
  });
  if (length !== entry.bytes) throw wrongSize(length);
  if (digest.hex() !== entry.sha256) {
    throw new LiraError(`${entry.path} does not have the SHA-256 its manifest says: the file was altered.`, "wrong_sha256");
  }
}

async function readPieces(file: Extract<Found, { kind: "file" }>, path: string, sink: Sink): Promise<void> {
  const read = async <T>(next: Promise<T>): Promise<T> => {
    try {
      return await next;
    } catch (error) {
      if (error instanceof LiraError) throw error;
      throw new LiraError(`${path} cannot be read: ${(error as Error).message}.`, "unreadable", { cause: error });
    }
  };
  const reader = (await read(file.stream())).getReader();
  try {
    for (;;) {
      const { done, value } = await read(reader.read());
      if (done) return;
      await sink(value);
    }
  } finally {
    await reader.cancel().catch(() => {}); // of a file that was refused half-way the rest is not asked for
  }
}

/** Raises `extra` where the source holds what the manifest does not name; asks nothing of one that cannot be listed. */
export async function checkNothingElse(source: BundleSource, manifest: Manifest): Promise<void> {
  const [extra] = extraPaths((await source.list()) ?? [], manifest);
  if (extra !== undefined) {
    throw new LiraError(`${source.name} holds ${extra}, which the manifest does not name.`, "extra");
  }
}

/** Raises parity_lost where the manifest itself says that a component, or the picture, is not what the model draws. */
export function checkStatedParity({ components, trajectory }: Manifest): void {
  const refuseLost = (what: string, db: number, said: { passed: boolean; threshold_db: number }): void => {
    if (said.passed) return;
    const numbers = `${db.toFixed(1)} dB at export, ${said.threshold_db.toFixed(1)} dB were needed`;
    throw new LiraError(`the ${what} lost parity: ${numbers}, as the manifest says.`, "parity_lost");
  };
  for (const { name, parity } of components) refuseLost(name, parity.psnr_db, parity);
  if (trajectory) refuseLost("picture", trajectory.image_psnr_db, trajectory);
}

/** Of a folder that nothing named lies in, the folder alone. */
function extraPaths(paths: readonly string[], manifest: Manifest): string[] {
  const files = new Set([MANIFEST_NAME, SIGNATURE_NAME, ...filesOf(manifest).map((entry) => entry.path)]);
  const folders = new Set([...files].flatMap(foldersOf));
  const extra = paths.flatMap((path) => {
    const strange = foldersOf(path).find((folder) => !folders.has(folder));
    // Other files that are folders are missing.
    if (strange !== undefined) return files.has(strange) && strange !== SIGNATURE_NAME ? [] : [`${strange}/`];
    return files.has(path) || path.endsWith("/") ? [] : [path];
  });
  return [...new Set(extra)].sort();
}

/** Check everything of a bundle, as lira-verify does of files; onBytes: how many were read since the last call. */
export async function checkBundle(source: BundleSource, onBytes: (count: number) => void = () => {}): Promise<OpenManifest> {
  const open = await readManifest(source);
  for (const entry of filesOf(open.manifest)) await checkFile(source, entry, (piece) => onBytes(piece.length));
  await checkNothingElse(source, open.manifest);
  checkStatedParity(open.manifest);
  return open;
}

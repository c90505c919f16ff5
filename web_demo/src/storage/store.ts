/** Where a bundle is kept for the next time: the browser's own file system for this origin. Only a worker can write to it. */

import { MANIFEST_NAME } from "../core/manifest";
import type { BundleSource, Found } from "../core/source";

const HOME = "lira";
const LOCK_TRIES = 20;
const LOCK_WAIT_MS = 100;

async function home(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(HOME, { create: true });
}

/** One bundle's folder, named by its digest. Complete once its manifest is there, which is written last. */
export class Store implements BundleSource {
  readonly name = "the stored bundle";

  private constructor(private readonly folder: FileSystemDirectoryHandle) {}

  /** The folder of a digest, made where there is none. Raises the browser's own errors where nothing can be kept. */
  static async of(digest: string): Promise<Store> {
    return new Store(await (await home()).getDirectoryHandle(digest, { create: true }));
  }

  /** The bundle that is kept, null where there is none. */
  static async kept(): Promise<Store | null> {
    for await (const [, folder] of (await home()).entries()) {
      if (folder.kind !== "directory") continue;
      const store = new Store(folder);
      const manifest = await store.find(MANIFEST_NAME);
      if (manifest?.kind === "file" && manifest.size) return store; // an empty one is being written
    }
    return null;
  }

  /** Remove every bundle but one; without a digest, every one. Raises where one cannot be, after all the others. */
  static async removeOthers(digest?: string): Promise<void> {
    const failures: unknown[] = [];
    for await (const name of (await home()).keys()) {
      if (name !== digest) await Store.remove(name).catch((error: unknown) => failures.push(error));
    }
    if (failures.length) throw failures[0];
  }

  /** Its manifest first: what stays of a folder that cannot be removed whole is then no bundle. */
  static async remove(digest: string): Promise<void> {
    const all = await home();
    await all.getDirectoryHandle(digest).then((folder) => folder.removeEntry(MANIFEST_NAME)).catch(() => {});
    await all.removeEntry(digest, { recursive: true });
  }

  async find(path: string): Promise<Found | null> {
    try {
      const [folder, name] = await this.place(path, false);
      const file = await (await folder.getFileHandle(name)).getFile();
      return { kind: "file", size: file.size, stream: async () => file.stream() };
    } catch (error) {
      if (error instanceof DOMException && error.name === "NotFoundError") return null;
      throw error;
    }
  }

  /** What a killed page left half-written does no harm: only what the manifest names is ever read. */
  async list(): Promise<null> {
    return null;
  }

  /** Write a file by what `fill` gives to its writer; half of one stays where that fails. */
  async write(path: string, fill: (write: (piece: Uint8Array) => void) => Promise<void>): Promise<void> {
    const [folder, name] = await this.place(path, true);
    const access = await locked(await folder.getFileHandle(name, { create: true }));
    try {
      access.truncate(0);
      let at = 0;
      await fill((piece) => {
        const written = access.write(piece as Uint8Array<ArrayBuffer>, { at });
        if (written < piece.length) throw new DOMException("the disk is full", "QuotaExceededError");
        at += written;
      });
      access.flush();
    } finally {
      access.close();
    }
  }

  private async place(path: string, create: boolean): Promise<[FileSystemDirectoryHandle, string]> {
    const parts = path.split("/");
    let folder = this.folder;
    for (const part of parts.slice(0, -1)) folder = await folder.getDirectoryHandle(part, { create });
    return [folder, parts.at(-1)!];
  }
}

/** A worker that was ended a moment ago may hold the file still. */
async function locked(file: FileSystemFileHandle): Promise<FileSystemSyncAccessHandle> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      const held = error instanceof DOMException && error.name === "NoModificationAllowedError";
      if (!held || tries === LOCK_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOCK_WAIT_MS));
    }
  }
}

/** The browser's file system for an origin, in memory: as much of it as the store asks for. */

import { vi } from "vitest";

class FileHandle {
  readonly kind = "file";
  data: Uint8Array<ArrayBuffer> = new Uint8Array();

  async getFile(): Promise<Blob> {
    return new Blob([this.data]);
  }

  async createSyncAccessHandle() {
    return {
      truncate: (size: number): void => void (this.data = this.data.slice(0, size)),
      write: (piece: Uint8Array, { at }: { at: number }): number => {
        const grown = new Uint8Array(Math.max(this.data.length, at + piece.length));
        grown.set(this.data);
        grown.set(piece, at);
        this.data = grown;
        return piece.length;
      },
      flush: (): void => {},
      close: (): void => {},
    };
  }
}

export class FolderHandle {
  readonly kind = "directory";
  inside = new Map<string, FileHandle | FolderHandle>();
  /** What cannot be removed, as somebody has a file of it open. */
  readonly held = new Set<string>();

  getFileHandle = async (name: string, options?: { create?: boolean }): Promise<FileHandle> => this.get(name, FileHandle, options);
  getDirectoryHandle = async (name: string, options?: { create?: boolean }): Promise<FolderHandle> => this.get(name, FolderHandle, options);

  async *entries() {
    yield* [...this.inside];
  }

  async *keys() {
    yield* [...this.inside.keys()];
  }

  async removeEntry(name: string): Promise<void> {
    if (this.held.has(name)) throw new DOMException("it is held", "NoModificationAllowedError");
    if (!this.inside.delete(name)) throw new DOMException("no such entry", "NotFoundError");
  }

  private get<Handle extends FileHandle | FolderHandle>(name: string, kind: new () => Handle, { create = false } = {}): Handle {
    const found = this.inside.get(name) ?? (create ? new kind() : null);
    if (!(found instanceof kind)) throw new DOMException("no such entry", "NotFoundError");
    this.inside.set(name, found);
    return found;
  }
}

/** Let this process have an empty one, or none at all; returns it. */
export function stubOpfs(has = true): FolderHandle {
  const root = new FolderHandle();
  vi.stubGlobal("navigator", { storage: has ? { getDirectory: async () => root } : {} });
  return root;
}

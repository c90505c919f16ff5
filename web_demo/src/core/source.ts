/** Where a bundle's files come from: the page's own origin, a folder, what the browser stores, or memory. */

export interface SourceFile {
  readonly kind: "file";
  /** In bytes, null where it shows only as the file is read. */
  readonly size: number | null;
  /** Opens it anew at each call. */
  stream(): Promise<ReadableStream<Uint8Array>>;
}

export type Found =
  | SourceFile
  | { readonly kind: "directory" }
  /** at: the file, or the folder on the way to it, that is a link. */
  | { readonly kind: "link"; readonly at: string };

export interface BundleSource {
  /** What messages call it. */
  readonly name: string;
  /** What lies at a path within the bundle, null where nothing does. Raises io_error where that cannot be told. */
  find(path: string): Promise<Found | null>;
  /** Every file, link, and empty folder (with "/" at its end), or null where it cannot be listed, as over HTTP. */
  list(): Promise<readonly string[] | null>;
}

/** Files in memory, as blobs. */
export class MemorySource implements BundleSource {
  constructor(
    readonly name: string,
    private readonly files: ReadonlyMap<string, Blob>,
  ) {}

  async find(path: string): Promise<Found | null> {
    const file = this.files.get(path);
    if (file) return { kind: "file", size: file.size, stream: async () => file.stream() };
    return [...this.files.keys()].some((name) => name.startsWith(`${path}/`)) ? { kind: "directory" } : null;
  }

  async list(): Promise<readonly string[]> {
    return [...this.files.keys()];
  }
}

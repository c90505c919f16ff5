/** A bundle in a folder of this machine, links as they are. */

import { lstatSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { BundleSource, Found } from "../src/core/source";

export class DiskSource implements BundleSource {
  readonly name = "the folder";

  constructor(private readonly folder: string) {}

  async find(path: string): Promise<Found | null> {
    const parts = path.split("/");
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const at = parts.slice(0, depth).join("/");
      const stat = lstatSync(join(this.folder, at), { throwIfNoEntry: false });
      if (!stat) return null;
      if (stat.isSymbolicLink()) return { kind: "link", at };
      if (depth < parts.length) continue;
      if (stat.isDirectory()) return { kind: "directory" };
      return { kind: "file", size: stat.size, stream: async () => new Blob([readFileSync(join(this.folder, path))]).stream() };
    }
    return null;
  }

  async list(): Promise<string[]> {
    const walk = (folder: string): string[] => {
      const entries = readdirSync(join(this.folder, folder), { withFileTypes: true });
      if (!entries.length) return [folder];
      return entries.flatMap((entry) => (entry.isDirectory() ? walk(`${folder}${entry.name}/`) : [folder + entry.name]));
    };
    return walk("");
  }
}

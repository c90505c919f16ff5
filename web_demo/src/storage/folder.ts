/** A bundle in a folder that the user picked. A browser shows neither links nor empty folders of it. */

import { MemorySource } from "../core/source";

/** files: of an input with webkitdirectory, whose paths begin with the folder's own name. */
export function folderSource(files: readonly File[]): MemorySource {
  const name = files[0]?.webkitRelativePath.split("/")[0] || "the folder";
  const inside = files.map((file): [string, Blob] => [file.webkitRelativePath.split("/").slice(1).join("/") || file.name, file]);
  return new MemorySource(`the folder ${name}`, new Map(inside));
}

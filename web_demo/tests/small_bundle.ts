/** A small bundle that passes every check: a golden manifest, with files of the sizes that it names. */

import { createHash } from "node:crypto";
import { MemorySource } from "../src/core/source";
import { asBytes, tokenizerRecord } from "./bundle_files";
import { readVectors } from "./vectors";

export interface Entry {
  path: string;
  bytes: number;
  sha256: string;
}
/** As much of a manifest as tests change. */
export interface ManifestRecord {
  target: string;
  preset: string;
  partial?: boolean;
  checksum: string;
  tokenizer: Entry;
  components: { name: string; files: Entry[]; graphs: { golden?: Entry | null }[] }[];
  empty_prompt: Entry;
}

const { cases } = readVectors<{ cases: { name: string; text: string }[] }>("manifests.json");
const text = cases.find(({ name }) => name === "two resolutions")!.text;
const clip = asBytes(tokenizerRecord());
const sha256 = (data: Uint8Array | string): string => createHash("sha256").update(data).digest("hex");

/** change: of the manifest, before its checksum is made. tokenizer: what that file holds. emptyByte: each byte of the empty prompt. */
export function smallBundle(change: (manifest: ManifestRecord) => void = () => {}, tokenizer = clip, emptyByte = 1): MemorySource {
  const manifest = JSON.parse(text) as ManifestRecord;
  const files = new Map<string, Blob>();
  const fill = (entry: Entry, data: Uint8Array): void => {
    files.set(entry.path, new Blob([data as Uint8Array<ArrayBuffer>]));
    [entry.bytes, entry.sha256] = [data.length, sha256(data)];
  };
  change(manifest);
  fill(manifest.tokenizer, tokenizer);
  const goldens = manifest.components.flatMap(({ graphs }) => graphs.flatMap(({ golden }) => golden ?? []));
  for (const entry of [...manifest.components.flatMap((each) => each.files), ...goldens]) {
    fill(entry, new Uint8Array(entry.bytes).fill(1));
  }
  fill(manifest.empty_prompt, new Uint8Array(manifest.empty_prompt.bytes).fill(emptyByte));
  manifest.checksum = "0".repeat(64);
  const zeroed = JSON.stringify(manifest);
  const at = zeroed.lastIndexOf(manifest.checksum);
  files.set("manifest.json", new Blob([zeroed.slice(0, at) + sha256(zeroed) + zeroed.slice(at + 64)]));
  return new MemorySource("the folder", files);
}

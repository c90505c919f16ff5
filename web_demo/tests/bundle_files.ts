/** CLIP's tokenizer.json, as the exporter writes it, from the merges that the runtime ships. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { BYTE_SYMBOLS } from "../src/core/bpe";

const MERGES = new URL("../../runtime/lira_runtime/data/clip_bpe_merges.txt.gz", import.meta.url);
const SPLIT = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

/** The file's content; change it to make it wrong. */
export function tokenizerRecord() {
  const lines = gunzipSync(readFileSync(MERGES)).toString("utf8").split("\n");
  const merges = lines.slice(1, 1 + 49152 - 256 - 2).map((line) => line.split(" "));
  const printable = (symbol: string): boolean => symbol.charCodeAt(0) < 256; // the printable bytes come first
  const symbols = [...BYTE_SYMBOLS.filter(printable), ...BYTE_SYMBOLS.filter((symbol) => !printable(symbol))];
  const words = [...symbols, ...symbols.map((s) => `${s}</w>`), ...merges.map((m) => m.join("")), "<|startoftext|>", "<|endoftext|>"];
  return {
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "NFC" }, { type: "Replace", pattern: { Regex: "\\s+" }, content: " " }, { type: "Lowercase" }],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: SPLIT }, behavior: "Removed", invert: true },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    model: {
      type: "BPE",
      dropout: null as number | null,
      continuing_subword_prefix: null as string | null,
      end_of_word_suffix: "</w>",
      vocab: Object.fromEntries(words.map((word, i) => [word, i])),
      merges,
    },
  };
}

export const asBytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

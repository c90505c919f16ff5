/** Errors a user can act on: one sentence, and a stable code for programs (docs/commands.md lists them all). */

import { printable } from "./say";

export const MEMORY = ["over_budget", "out_of_memory"] as const;
export const NUMBERS = ["parity_lost", "not_quantized", "not_delegated", "not_finite"] as const;
export const DAMAGED = [
  "damaged",
  "manifest_missing",
  "manifest_unreadable",
  "manifest_version",
  "manifest_checksum",
  "manifest_path",
  "manifest_inconsistent",
  "missing",
  "link",
  "unreadable",
  "wrong_size",
  "wrong_sha256",
  "extra",
  "tokenizer_unreadable",
  "tensor_not_finite",
  "graph_refused",
  "graph_failed",
  "contents_differ",
  "golden_differs",
  "unsigned",
  "wrong_signature",
] as const;
/** Those of a request, of which a page needs two. */
export const REQUEST = ["bad_input", "io_error"] as const;
const OTHERS = ["interrupted", "internal"] as const;

export type Code =
  | (typeof MEMORY)[number]
  | (typeof NUMBERS)[number]
  | (typeof DAMAGED)[number]
  | (typeof REQUEST)[number]
  | (typeof OTHERS)[number];

/** The message is the sentence that the user reads, `printable`. */
export class LiraError extends Error {
  readonly code: Code;
  /** The pipeline's stage in which it happened, where it happened in one. */
  stage?: string;

  constructor(sentence: string, code: Code, options?: ErrorOptions) {
    super(printable(sentence), options);
    this.name = "LiraError";
    this.code = code;
  }
}

/** The request cannot be served as asked. */
export const badInput = (sentence: string): LiraError => new LiraError(sentence, "bad_input");

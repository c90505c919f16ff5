/** What the page and its worker say to each other. Nothing else crosses between them. */

import type { Code } from "../core/errors";
import type { ComponentName } from "../core/interface";

/** Where a bundle comes from: what is kept from the last time, this page's origin, or a folder that the user picked. */
export type Place =
  | { readonly kind: "kept" }
  | { readonly kind: "origin"; readonly folder: string }
  | { readonly kind: "folder"; readonly files: readonly File[] };

/** limitBytes: of the engine's memory. lowMemory: one thread, weights packed once. */
export interface EngineChoice {
  readonly threads: number;
  readonly lowMemory: boolean;
  readonly limitBytes: number;
}

export interface DrawRequest {
  readonly prompt: string;
  readonly seed: bigint;
  readonly steps: number;
  readonly guidance: number;
  readonly method: string;
  readonly resolution: number;
  readonly cut: boolean;
  /** A preview after each so many steps, 0 for none. */
  readonly previewEvery: number;
}

export type ToWorker =
  /** The first message. checked: the digest of a bundle whose files were checked in this session already. */
  | { readonly kind: "open"; readonly engine: EngineChoice; readonly place: Place; readonly checked: string | null }
  | { readonly kind: "draw"; readonly request: DrawRequest };

export interface BundleSummary {
  readonly digest: string;
  readonly preset: string;
  readonly recipes: readonly string[];
  readonly resolutions: readonly number[];
  readonly bytes: number;
  readonly files: number;
  readonly kept: boolean;
  readonly defaults: { readonly method: string; readonly steps: number; readonly guidance: number };
}

/** heapBytes: memory of the engine at the end of the stage, which is the most it has had. */
export interface StageReport {
  readonly stage: ComponentName;
  readonly seconds: number;
  readonly heapBytes: number;
}

export type FromWorker =
  | { readonly kind: "reading"; readonly done: number; readonly total: number }
  | { readonly kind: "opened"; readonly bundle: BundleSummary }
  | { readonly kind: "nothing_kept" }
  | { readonly kind: "prompt_cut"; readonly dropped: string }
  | { readonly kind: "stage"; readonly stage: ComponentName }
  | { readonly kind: "step"; readonly index: number; readonly total: number; readonly reasoningSteps: number; readonly heapBytes: number; readonly stepSeconds: number }
  | { readonly kind: "preview"; readonly pixels: Uint8Array; readonly side: number; readonly index: number }
  | { readonly kind: "stage_done"; readonly report: StageReport }
  | { readonly kind: "image"; readonly png: Blob; readonly pixels: Uint8Array; readonly side: number; readonly threads: number }
  | { readonly kind: "failed"; readonly code: Code; readonly sentence: string; readonly stage: ComponentName | null; readonly place: "open" | "draw" };

/** What is said of bundles, stages and files. */

import { printable } from "../core/say";
import type { BundleSummary } from "../worker/protocol";

/** Stages by the words that a reader knows. */
export const STAGE_WORDS: Readonly<Record<string, string>> = {
  text_encoder: "Reading the prompt",
  denoiser: "Drawing",
  decoder: "Making the pixels",
};

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

export function bundleLine({ preset, recipes, resolutions, files, bytes, kept }: BundleSummary): string {
  const sizes = resolutions.map((side) => `${side} px`).join(", ");
  const where = kept ? "kept on this device" : "in memory until this page is closed";
  return printable(`${preset}, ${recipes.join(", ")}, ${sizes}: ${files} files, ${megabytes(bytes)}, all checked; ${where}.`);
}

/** A file's name of a prompt: letters and digits of any script. */
export function fileName(prompt: string, seed: bigint): string {
  const words = prompt.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? ["picture"];
  return `${[...words.join("-")].slice(0, 50).join("")}-${seed}.png`;
}

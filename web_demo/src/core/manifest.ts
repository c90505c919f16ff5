/** The manifest: the only contract between the exporters and everything that runs a bundle. */

import { counted } from "./decode";
import { LiraError } from "./errors";
import { COMPONENTS, PROMPT_TOKENS, componentInterface, goldenCount, type ExactTensorSpec } from "./interface";
import { parseJson, type Json } from "./json";
import { headerDecoder, manifestDecoder, type ExactComponent, type ExactGraph, type ExactManifest, type Manifest } from "./manifest_entries";
import { sha256 } from "./sha256";

export type { Component, FileEntry, Graph, Manifest, TensorFile } from "./manifest_entries";

export const FORMAT_VERSION = 5;
export const MANIFEST_NAME = "manifest.json";
export const SIGNATURE_NAME = "manifest.json.sig";
export const MAX_MANIFEST_BYTES = 4 * 2 ** 20;
const NO_CHECKSUM = "0".repeat(64);

/** Decode a manifest's file and compare it with its own checksum; raises LiraError with one sentence. */
export function parseManifest(data: Uint8Array): Manifest {
  const exact = decode(data);
  validate(exact);
  const manifest = counted(exact);
  if (manifest.checksum === null || manifest.checksum !== checksumOf(data, manifest.checksum)) {
    throw new LiraError(`${MANIFEST_NAME} does not have the checksum that it says: it was altered.`, "manifest_checksum");
  }
  return manifest;
}

function decode(data: Uint8Array): ExactManifest {
  if (data.length > MAX_MANIFEST_BYTES) throw unreadable(`it is larger than ${MAX_MANIFEST_BYTES} bytes`);
  let version: bigint;
  let json: Json;
  try {
    // A header may stand before text that is no Unicode: it is looked for in what can be read.
    json = parseJson(new TextDecoder("utf-8", { ignoreBOM: true }).decode(data));
    version = headerDecoder(json, "$").format_version;
  } catch (error) {
    throw unreadable((error as Error).message);
  }
  if (version !== BigInt(FORMAT_VERSION)) {
    const hint = version < FORMAT_VERSION ? "export the bundle again" : "a newer LiRA wrote it";
    const said = `the manifest has format version ${version}, but this LiRA reads ${FORMAT_VERSION}: ${hint}.`;
    throw new LiraError(said, "manifest_version");
  }
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(data);
    return manifestDecoder(json, "$");
  } catch (error) {
    throw unreadable((error as Error).message);
  }
}

const unreadable = (why: string): LiraError => new LiraError(`the manifest cannot be read: ${why}.`, "manifest_unreadable");
const inconsistent = (sentence: string): LiraError => new LiraError(sentence, "manifest_inconsistent");

/** SHA-256 of a manifest's bytes whose last occurrence of `stored` counts as zeros. */
function checksumOf(data: Uint8Array, stored: string): string {
  const at = new TextDecoder("latin1").decode(data).lastIndexOf(stored); // one character a byte
  const zeroed = data.slice();
  if (at >= 0) zeroed.set(new TextEncoder().encode(NO_CHECKSUM), at);
  return sha256(zeroed);
}

/** Every file the bundle must hold besides the manifest itself. */
export function filesOf<M extends Manifest | ExactManifest>(manifest: M): M["tokenizer"][] {
  const files: M["tokenizer"][] = [manifest.tokenizer];
  for (const component of manifest.components) {
    files.push(...component.files, ...component.graphs.flatMap((graph) => graph.golden ?? []));
  }
  if (manifest.empty_prompt) files.push(manifest.empty_prompt);
  return files;
}

/** The diffusion latent's shape (1, C, H, W) for pictures of `resolution` px. */
export function latentShape(manifest: Manifest, resolution: number): readonly [number, number, number, number] {
  const side = Math.floor(resolution / manifest.latent.scale);
  return [1, manifest.latent.channels, side, side];
}

/** "a/b/c" -> ["a", "a/b"]. */
export function foldersOf(path: string): string[] {
  const parts = path.split("/");
  return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

/** Check what types cannot say: names, paths, resolutions and shapes that agree; raises LiraError. */
function validate(manifest: ExactManifest): void {
  const entries = filesOf(manifest);
  for (const { path } of entries) checkRelative(path);
  const paths = entries.map(({ path }) => path.toLowerCase()); // many file systems know no case
  if (new Set([...paths, MANIFEST_NAME, SIGNATURE_NAME]).size < paths.length + 2) {
    throw inconsistent("the manifest lists one file twice, or two that differ by case alone.");
  }
  const files = new Set([...paths, MANIFEST_NAME, SIGNATURE_NAME]);
  if (paths.some((path) => foldersOf(path).some((folder) => files.has(folder)))) {
    throw inconsistent("the manifest lists a file that another one lies in, as in a folder.");
  }
  const names = new Set<string>(manifest.components.map((component) => component.name));
  if (names.size < manifest.components.length) throw inconsistent("the manifest lists one component twice.");
  const lacking = COMPONENTS.filter((name) => !names.has(name));
  if (!manifest.partial && lacking.length) {
    throw inconsistent(`the manifest lacks the component ${lacking.join(", ")} and does not say that it is partial.`);
  }
  const { resolutions, latent } = manifest;
  if (new Set(resolutions).size < resolutions.length) throw inconsistent("the manifest lists one resolution twice.");
  const odd = resolutions.find((resolution) => resolution % latent.scale);
  if (odd !== undefined) throw inconsistent(`${odd} px is not a multiple of the latent scale ${latent.scale}.`);
  const dText = textWidth(manifest);
  for (const component of manifest.components) checkComponent(manifest, component, dText);
  checkEmptyPrompt(manifest, dText);
  for (const { name, parity } of manifest.components) checkMeasured(name, parity.psnr_db, parity);
  const drawn = manifest.trajectory;
  if (drawn) checkMeasured("the drawing", drawn.image_psnr_db, drawn);
}

function checkMeasured(what: string, db: number, said: { threshold_db: number; passed: boolean }): void {
  if (said.passed === db >= said.threshold_db) return;
  const numbers = `${db} dB, of ${said.threshold_db} dB that are needed`;
  throw inconsistent(`the manifest says that ${what} ${said.passed ? "passed" : "failed"} with ${numbers}.`);
}

function checkRelative(path: string): void {
  const parts = path.split("/");
  const printable = /^[ -~]*$/.test(path); // in ASCII all systems agree what is one name
  if (/[\\:]/.test(path) || !printable || parts.some((part) => part === "" || part === "." || part === "..")) {
    throw new LiraError(`the manifest names the unsafe path ${JSON.stringify(path)}.`, "manifest_path");
  }
}

function textWidth(manifest: ExactManifest): bigint {
  const graphs = manifest.components.flatMap((component) => component.graphs);
  const tensors = graphs.flatMap((graph) => [...graph.inputs, ...graph.outputs]);
  return tensors.find((tensor) => tensor.name === "text_states" && tensor.shape.length)?.shape.at(-1) ?? 1n;
}

/** One graph for every resolution, or one for all; each opens a file of the component, with LiRA's tensors. */
function checkComponent(manifest: ExactManifest, component: ExactComponent, dText: bigint): void {
  const wanted = component.name === "text_encoder" ? [null] : manifest.resolutions;
  if (!same(component.graphs.map((graph) => graph.resolution), wanted)) {
    throw inconsistent(`the graphs of ${component.name} are not those of the bundle's resolutions.`);
  }
  for (const graph of component.graphs) checkGraph(manifest, component, graph, dText);
}

function checkGraph(manifest: ExactManifest, component: ExactComponent, graph: ExactGraph, dText: bigint): void {
  const { name } = component;
  if (!component.files.some((entry) => entry.path === graph.path || entry.path.startsWith(`${graph.path}/`))) {
    throw inconsistent(`${name} opens ${JSON.stringify(graph.path)}, which is none of its files.`);
  }
  const { channels, scale } = manifest.latent;
  const side = (graph.resolution ?? manifest.resolutions[0]!) / scale;
  const { inputs, outputs } = componentInterface([1n, channels, side, side], scale, dText)[name];
  if (!sameTensors(graph.inputs, inputs) || !sameTensors(graph.outputs, outputs)) {
    throw inconsistent(`the tensors of ${name} are not those of a LiRA ${name}.`);
  }
  if (!graph.golden) return;
  const count = goldenCount(graph.outputs[0]!);
  if (!same(graph.golden.shape, [count]) || graph.golden.bytes !== 4n * count) {
    throw inconsistent(`the golden output of ${name} does not have the shape of a golden output.`);
  }
}

function checkEmptyPrompt(manifest: ExactManifest, dText: bigint): void {
  const empty = manifest.empty_prompt;
  if (!empty) {
    if (!manifest.partial) throw inconsistent("the manifest lacks the text states of the empty prompt.");
  } else if (!same(empty.shape, [1n, BigInt(PROMPT_TOKENS), dText]) || empty.bytes !== 4n * BigInt(PROMPT_TOKENS) * dText) {
    throw inconsistent("the text states of the empty prompt do not have the text encoder's shape.");
  }
}

function same<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function sameTensors(a: readonly ExactTensorSpec[], b: readonly ExactTensorSpec[]): boolean {
  const one = (x: ExactTensorSpec, y: ExactTensorSpec): boolean => x.name === y.name && x.dtype === y.dtype && same(x.shape, y.shape);
  return a.length === b.length && a.every((tensor, i) => one(tensor, b[i]!));
}

/**
 * What a manifest is made of. Sizes in bytes, resolution in px, parity in dB (peak signal to noise).
 *
 * runtime/lira_runtime/manifest_entries.py says what each field means; docs/manifest.schema.json is its JSON schema.
 */

import { bool, float, int, list, nullable, oneOf, optional, record, required, str, struct, type Counted, type Decoder } from "./decode";
import { COMPONENT_NAMES, DTYPES, type ExactTensorSpec } from "./interface";
import { METHODS } from "./sampler";

/** What a decoder returns. */
type Of<D> = D extends Decoder<infer T> ? T : never;

const count = int(0);
const positive = int(1);
const text = str({ least: 1 });
const path = str({ least: 1, most: 255 });
const hex = str({ pattern: /^[0-9a-f]{64}$/ });

const fileFields = { path: required(path), bytes: required(count), sha256: required(hex) };
const file = struct(fileFields);
const tensorFile = struct({ ...fileFields, shape: required(list(positive)), dtype: required(oneOf(["float32"])) });
const tensor: Decoder<ExactTensorSpec> = struct({
  name: required(text),
  shape: required(list(positive)),
  dtype: required(oneOf(DTYPES)),
});

const memory = struct({
  predicted_bytes: optional(nullable(count), null),
  weights_bytes: optional(nullable(count), null),
  activations_bytes: optional(nullable(count), null),
  runtime_bytes: optional(nullable(count), null),
  measured_bytes: optional(nullable(count), null),
});

const graph = struct({
  path: required(path),
  entry: required(text),
  resolution: optional(nullable(positive), null),
  inputs: required(list(tensor, 1)),
  outputs: required(list(tensor, 1)),
  memory: optional(nullable(memory), null),
  golden: optional(nullable(tensorFile), null),
});

const parity = struct({
  float32_max_abs: optional(nullable(float({ least: 0 })), null),
  psnr_db: required(float()),
  cosine: required(float()),
  threshold_db: required(float()),
  passed: required(bool),
});

const contents = struct({
  ops: required(record(count)),
  products: required(record(count)),
  weight_bytes: required(record(count)),
  loaded_bytes: optional(nullable(count), null),
  kept_float32: optional(list(str()), []),
});

const component = struct({
  name: required(oneOf(COMPONENT_NAMES)),
  graphs: required(list(graph, 1)),
  files: required(list(file, 1)),
  recipe: required(text),
  parity: required(parity),
  contents: required(contents),
  key: optional(nullable(hex), null),
});

const trajectory = struct({
  prompt: required(str()),
  seed: required(count),
  steps: required(positive),
  guidance: required(float()),
  drift_db: required(list(float())),
  image_psnr_db: required(float()),
  threshold_db: required(float()),
  passed: required(bool),
});

const latent = struct({
  name: required(text),
  channels: required(positive),
  scale: required(positive),
  patch_size: required(positive),
});

const sampler = struct({
  method: required(oneOf(METHODS)),
  steps: required(int(1, 1000)),
  shift: required(float({ above: 0 })),
  guidance: required(float({ least: 0, most: 100 })),
});

const source = struct({
  digest: required(hex),
  weights: required(oneOf(["demo", "checkpoint", "seed"])),
  seed: optional(nullable(int(-Infinity)), null),
});

/** Of format version 5. */
export const manifestDecoder = struct({
  format_version: required(int(5, 5)),
  target: required(oneOf(["onnx", "coreml", "tflite"])),
  requires: optional(nullable(text), null),
  preset: required(text),
  latent: required(latent),
  resolutions: required(list(positive, 1)),
  sampler: required(sampler),
  tokenizer: required(file),
  components: required(list(component, 1)),
  empty_prompt: optional(nullable(tensorFile), null),
  trajectory: optional(nullable(trajectory), null),
  tools: required(record(str())),
  source: required(source),
  weights: optional(oneOf(["packed", "mapped", "streamed"]), "packed"),
  partial: optional(bool, false),
  checksum: optional(nullable(hex), null),
});

/** Read first, so that a newer format is named as such and not as an unknown field. */
export const headerDecoder = struct({ format_version: required(int(-Infinity)) }, "ignored");

/** As it is read and checked: whole numbers of any size. */
export type ExactManifest = Of<typeof manifestDecoder>;
export type ExactComponent = Of<typeof component>;
export type ExactGraph = Of<typeof graph>;

/** As it is used, once it was checked: no bundle that can be loaded holds a size beyond 2^53. */
export type Manifest = Counted<ExactManifest>;
export type Component = Counted<ExactComponent>;
export type Graph = Counted<ExactGraph>;
export type FileEntry = Counted<Of<typeof file>>;
export type TensorFile = Counted<Of<typeof tensorFile>>;

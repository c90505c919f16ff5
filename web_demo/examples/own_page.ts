import mjs from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url"; // by Vite's way of asking for a file's address
import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import { Bundle } from "../src/core/bundle";
import { checkBundle } from "../src/core/check";
import { LiraError } from "../src/core/errors";
import { Pipeline } from "../src/core/pipeline";
import { encodePng } from "../src/core/png";
import { OrtBackend, configureEngine } from "../src/engine/ort";
import { OriginSource } from "../src/storage/origin";

/** folder: of the page's origin, "/" at its end. Returns a PNG; throws a LiraError, whose message is one sentence. */
async function draw(folder: URL, prompt: string, seed: bigint, onStep: (share: number) => void): Promise<Blob> {
  const source = new OriginSource(folder);
  const bundle = new Bundle(await checkBundle(source), source); // every byte; MemorySource and Store keep what was read
  for await (const event of new Pipeline(bundle, new OrtBackend()).generate({ prompt, seed })) {
    if (event.kind === "step") onStep((event.index + 1) / event.total); // leave the loop to cancel
    if (event.kind === "image") return encodePng(event.pixels, event.side, event.side, { prompt, seed: String(seed) });
  }
  throw new LiraError("the drawing ended without a picture.", "internal");
}

// In a Web Worker: self is its global scope.
configureEngine({ threads: crossOriginIsolated ? navigator.hardwareConcurrency : 1, paths: { mjs, wasm } });
self.addEventListener("message", ({ data }: MessageEvent<{ folder: string; prompt: string; seed: bigint }>) => {
  draw(new URL(data.folder), data.prompt, data.seed, (share) => self.postMessage({ share })).then(
    (png) => self.postMessage({ png }),
    (error: LiraError) => self.postMessage({ code: error.code, sentence: error.message }),
  );
});

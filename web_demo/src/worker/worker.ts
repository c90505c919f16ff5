/** Everything that takes long: reading, checking and running a bundle. The page ends this worker to cancel. */

import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import mjs from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";
import { Bundle } from "../core/bundle";
import { LiraError } from "../core/errors";
import { filesOf } from "../core/manifest";
import { watchHeap } from "../engine/heap";
import { configureEngine } from "../engine/ort";
import { folderSource } from "../storage/folder";
import { OriginSource } from "../storage/origin";
import { openKept, receive, type OnBytes, type Received } from "../storage/receive";
import { draw } from "./drawing";
import type { BundleSummary, EngineChoice, FromWorker, Place, ToWorker } from "./protocol";

const REPORT_BYTES = 1 << 20;
let bundle: Bundle | null = null;
let engine: EngineChoice | null = null;

const say = (message: FromWorker, transfer: Transferable[] = []): void => self.postMessage(message, { transfer });

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  const place = data.kind === "draw" ? "draw" : "open";
  answer(data).catch((error: unknown) => {
    const { code, message, stage } = inOneSentence(error);
    say({ kind: "failed", code, sentence: message, stage: (stage as never) ?? null, place });
  });
});

async function answer(message: ToWorker): Promise<void> {
  if (message.kind === "open") {
    start(message.engine);
    const received = await open(message.place, message.checked, reporter());
    if (!received) return say({ kind: "nothing_kept" });
    bundle = new Bundle(received.open, received.source);
    bundle.requireRunnable();
    say({ kind: "opened", bundle: summary(bundle, received.kept) });
    return;
  }
  if (!bundle || !engine) throw new LiraError("no bundle is open.", "internal");
  await draw(bundle, engine, message.request, say);
}

/** The engine's memory and threads are decided once in a worker's life. */
function start(choice: EngineChoice): void {
  if (engine) return;
  engine = choice;
  watchHeap(choice.limitBytes);
  const absolute = (url: string): string => new URL(url, self.location.href).href;
  configureEngine({ threads: choice.threads, paths: { mjs: absolute(mjs), wasm: absolute(wasm) } });
}

async function open(place: Place, checked: string | null, onBytes: OnBytes): Promise<Received | null> {
  if (place.kind === "kept") return openKept(checked, onBytes);
  return receive(place.kind === "folder" ? folderSource(place.files) : new OriginSource(new URL(place.folder)), onBytes);
}

function reporter(): OnBytes {
  let said = 0;
  return (done, total) => {
    if (done < total && done - said < REPORT_BYTES) return;
    said = done;
    say({ kind: "reading", done, total });
  };
}

function summary({ manifest, digest }: Bundle, kept: boolean): BundleSummary {
  const files = filesOf(manifest);
  const { method, steps, guidance } = manifest.sampler;
  return {
    digest,
    preset: manifest.preset,
    recipes: [...new Set(manifest.components.map((component) => component.recipe))],
    resolutions: manifest.resolutions,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    files: files.length,
    kept,
    defaults: { method, steps, guidance },
  };
}

function inOneSentence(error: unknown): LiraError {
  if (error instanceof LiraError) return error;
  const said = error instanceof Error ? error.message : String(error);
  if (error instanceof RangeError || /memory/i.test(said)) return new LiraError(`there is not enough memory: ${said}.`, "out_of_memory");
  return new LiraError(`this is a fault of the page: ${said}.`, "internal");
}

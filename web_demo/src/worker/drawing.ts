/** One drawing, from a request to a PNG, with previews on the way. */

import type { Bundle } from "../core/bundle";
import { Pipeline, type PipelineEvent, type Settings } from "../core/pipeline";
import { encodePng, formatG } from "../core/png";
import { Preview } from "../core/preview";
import { heapBytes } from "../engine/heap";
import { OrtBackend } from "../engine/ort";
import type { DrawRequest, EngineChoice, FromWorker } from "./protocol";

type Say = (message: FromWorker, transfer?: Transferable[]) => void;

/** The engine is the worker's own. */
export async function draw(bundle: Bundle, engine: EngineChoice, request: DrawRequest, say: Say): Promise<void> {
  const pipeline = new Pipeline(bundle, new OrtBackend(engine.lowMemory));
  const settings = pipeline.settings(request);
  let preview: Preview | null = null;
  let mark = performance.now();
  for await (const event of pipeline.generate(request)) {
    if (event.kind === "step") {
      const stepSeconds = (performance.now() - mark) / 1000;
      const { index, total, reasoningSteps } = event;
      say({ kind: "step", index, total, reasoningSteps, heapBytes: heapBytes(), stepSeconds });
      if (wantsPreview(event, request.previewEvery)) {
        preview ??= await Preview.of(bundle, settings.resolution);
        if (preview) showPreview(preview, event, say);
      }
    } else await report(event, bundle, settings, engine, say);
    mark = performance.now();
  }
}

type StepEvent = Extract<PipelineEvent, { kind: "step" }>;

/** After each so many steps; never after the last one, which the picture itself follows. */
const wantsPreview = ({ index, total }: StepEvent, every: number): boolean => every > 0 && index < total - 1 && (index + 1) % every === 0;

function showPreview(preview: Preview, { x0, index }: StepEvent, say: Say): void {
  const pixels = preview.pixels(x0);
  say({ kind: "preview", pixels, side: preview.width, index }, [pixels.buffer]);
}

async function report(event: Exclude<PipelineEvent, StepEvent>, bundle: Bundle, settings: Settings, engine: EngineChoice, say: Say): Promise<void> {
  if (event.kind === "prompt_cut") say({ kind: "prompt_cut", dropped: event.dropped });
  else if (event.kind === "stage_started") say({ kind: "stage", stage: event.stage });
  else if (event.kind === "stage_finished") {
    say({ kind: "stage_done", report: { stage: event.stage, seconds: event.seconds, heapBytes: heapBytes() } });
  } else {
    const { pixels, side } = event;
    const png = await encodePng(pixels, side, side, texts(bundle, settings));
    say({ kind: "image", png, pixels, side, threads: engine.threads }, [pixels.buffer]);
  }
}

/** The same entries, in the same order, as lira-generate writes. */
function texts(bundle: Bundle, settings: Settings): Record<string, string> {
  return {
    prompt: settings.prompt,
    seed: String(settings.seed),
    steps: String(settings.steps),
    sampler: settings.method,
    guidance: formatG(settings.guidance),
    bundle: bundle.digest,
  };
}

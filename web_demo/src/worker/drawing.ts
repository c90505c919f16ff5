/** One drawing, from a request to a PNG, with previews on the way. */

import type { Bundle } from "../core/bundle";
import { LiraError } from "../core/errors";
import { Pipeline, type PipelineEvent, type Settings } from "../core/pipeline";
import { toPixels } from "../core/pixels";
import { encodePng, formatG } from "../core/png";
import { heapBytes } from "../engine/heap";
import { OrtBackend } from "../engine/ort";
import type { DrawRequest, EngineChoice, FromWorker } from "./protocol";

type Say = (message: FromWorker, transfer?: Transferable[]) => void;

/** The engine is the worker's own; where previews are asked for, a second one holds the decoder beside the denoiser. */
export async function draw(bundle: Bundle, engine: EngineChoice, request: DrawRequest, say: Say): Promise<void> {
  const pipeline = new Pipeline(bundle, new OrtBackend(engine.lowMemory));
  const settings = pipeline.settings(request);
  const previews = new Previews(bundle, settings, engine.lowMemory ? 0 : request.previewEvery, say);
  let mark = performance.now();
  try {
    for await (const event of pipeline.generate(request)) {
      if (event.kind === "step") {
        const stepSeconds = (performance.now() - mark) / 1000;
        const { index, total, reasoningSteps } = event;
        say({ kind: "step", index, total, reasoningSteps, heapBytes: heapBytes(), stepSeconds });
        await previews.after(event);
      } else await report(event, bundle, settings, engine, say);
      mark = performance.now();
    }
  } finally {
    await previews.end();
  }
}

type StepEvent = Extract<PipelineEvent, { kind: "step" }>;

/** The predicted picture after each so many steps; never of the last step, which the picture itself follows. */
class Previews {
  private decoder: OrtBackend | null = null;

  constructor(
    private readonly bundle: Bundle,
    private readonly settings: Settings,
    private every: number,
    private readonly say: Say,
  ) {}

  async after({ index, total, x0 }: StepEvent): Promise<void> {
    const last = index === total - 1;
    if (last) await this.end();
    if (last || this.every === 0 || (index + 1) % this.every) return;
    try {
      await this.show(x0, index);
    } catch (error) {
      // The drawing itself has its memory: it goes on without previews.
      if (!(error instanceof LiraError && error.code === "out_of_memory")) throw error;
      this.every = 0;
      await this.end();
      this.say({ kind: "previews_off" });
    }
  }

  async end(): Promise<void> {
    await this.decoder?.unload();
    this.decoder = null;
  }

  private async show(latent: Float32Array, index: number): Promise<void> {
    const side = this.settings.resolution;
    if (!this.decoder) {
      this.decoder = new OrtBackend();
      await this.decoder.load(this.bundle, "decoder", this.bundle.graph("decoder", side));
    }
    const pixels = toPixels((await this.decoder.run({ latent }))["image"] as Float32Array, side, side);
    this.say({ kind: "preview", pixels, side, index }, [pixels.buffer]);
  }
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

/**
 * Prompt to image in three stages, with one graph in memory at a time.
 *
 * A generator of events: the caller owns progress and cancelling. It stops at the next step when its loop is left, and
 * then nothing stays loaded.
 */

import type { Backend, TensorData } from "./backend";
import type { Bundle } from "./bundle";
import { LiraError, badInput } from "./errors";
import { PROMPT_TOKENS, type ComponentName } from "./interface";
import { latentShape } from "./manifest";
import { checkSeed, initialNoise } from "./noise";
import { toPixels } from "./pixels";
import { checkGuidance, checkMethod, guided, sample, shiftedSigmas, type Method } from "./sampler";
import { ClipTokenizer } from "./tokenizer";

const MOST_SAID = 60;
/** Of which a prompt must not consist alone; as Python's str.strip. */
const BLANK = /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$/;

/** One image to make; what is left out is the bundle's own default. */
export interface Request {
  readonly prompt: string;
  /** 0 <= seed < 2^64; 0 where it is left out. */
  readonly seed?: bigint;
  readonly steps?: number;
  /** 0..100; 1 is none. */
  readonly guidance?: number;
  readonly method?: string;
  readonly shift?: number;
  /** Side of the picture in px. */
  readonly resolution?: number;
  /** Draw the beginning of a prompt that is longer than the text encoder reads, instead of refusing it. */
  readonly cut?: boolean;
}

/** A request with the bundle's defaults filled in, and checked. */
export interface Settings {
  readonly prompt: string;
  readonly seed: bigint;
  readonly steps: number;
  readonly guidance: number;
  readonly method: Method;
  readonly resolution: number;
  /** Noise levels of the steps to run. */
  readonly sigmas: readonly number[];
}

/** latents are float32 (1, C, H, W), flat; pixels RGB bytes (H, W, 3); seconds of wall-clock time. */
export type PipelineEvent =
  | { readonly kind: "prompt_cut"; readonly dropped: string }
  | { readonly kind: "stage_started"; readonly stage: ComponentName }
  /** x0: the clean latent as predicted now; reasoningSteps: of the latent reasoning loop, for the prompt. */
  | {
      readonly kind: "step";
      readonly index: number;
      readonly total: number;
      readonly sigma: number;
      readonly x: Float32Array;
      readonly x0: Float32Array;
      readonly reasoningSteps: number;
    }
  | { readonly kind: "stage_finished"; readonly stage: ComponentName; readonly seconds: number }
  | { readonly kind: "image"; readonly pixels: Uint8Array; readonly side: number; readonly latent: Float32Array };

type Stage<T> = AsyncGenerator<PipelineEvent, T, void>;

/** Runs a whole bundle. */
export class Pipeline {
  constructor(
    private readonly bundle: Bundle,
    private readonly backend: Backend,
  ) {
    bundle.requireRunnable();
  }

  /** Fill in the bundle's defaults and check everything; raises bad_input. */
  settings(request: Request): Settings {
    const defaults = this.bundle.manifest.sampler;
    const { prompt, seed = 0n, steps = defaults.steps, guidance = defaults.guidance, method = defaults.method } = request;
    if (BLANK.test(prompt)) throw badInput("the prompt is empty; say what to draw.");
    checkSeed(seed);
    checkMethod(method);
    checkGuidance(guidance);
    const sigmas = shiftedSigmas(steps, request.shift ?? defaults.shift);
    return { prompt, seed, steps, guidance, method, sigmas, resolution: this.bundle.resolution(request.resolution ?? null) };
  }

  /** Check the request, then yield events that end with an image; raises LiraError. */
  async *generate(request: Request): AsyncGenerator<PipelineEvent, void, void> {
    const settings = this.settings(request);
    const file = await this.bundle.read(this.bundle.manifest.tokenizer.path);
    const tokens = ClipTokenizer.parse(file).encode(settings.prompt);
    if (tokens.truncated) {
      if (!request.cut) throw badInput(tooLong(tokens.dropped));
      yield { kind: "prompt_cut", dropped: tokens.dropped };
    }
    const [text, empty] = yield* this.stage("text_encoder", settings, () => this.encode(tokens.ids, settings));
    const latent = yield* this.stage("denoiser", settings, () => this.denoise(settings, text, empty));
    const image = yield* this.stage("decoder", settings, () => this.decode(latent));
    const side = settings.resolution;
    yield { kind: "image", pixels: toPixels(image, side, side), side, latent };
  }

  /** Load, work, unload. */
  private async *stage<T>(stage: ComponentName, settings: Settings, work: () => Stage<T>): Stage<T> {
    yield { kind: "stage_started", stage };
    const start = performance.now();
    let result: T;
    try {
      await this.backend.load(this.bundle, stage, this.bundle.graph(stage, settings.resolution));
      result = yield* work();
    } catch (error) {
      if (error instanceof LiraError) error.stage ??= stage;
      throw error;
    } finally {
      await this.backend.unload();
    }
    yield { kind: "stage_finished", stage, seconds: (performance.now() - start) / 1000 };
    return result;
  }

  private async *encode(ids: Int32Array, settings: Settings): Stage<[Float32Array, Float32Array]> {
    const text = (await this.run("text_encoder", { input_ids: ids }))["text_states"] as Float32Array;
    return [text, settings.guidance === 1 ? text : await this.bundle.emptyPrompt()];
  }

  private async *denoise(settings: Settings, text: Float32Array, empty: Float32Array): Stage<Float32Array> {
    // The denoiser is loaded, so its latent has the manifest's shape: a forged manifest gets no memory for another.
    let x = initialNoise(settings.seed, latentShape(this.bundle.manifest, settings.resolution));
    let reasoningSteps = 0;
    const velocity = async (latent: Float32Array, sigma: number, states: Float32Array): Promise<Float32Array> => {
      const outputs = await this.run("denoiser", { latent, timestep: Float32Array.of(sigma), text_states: states });
      if (states === text) reasoningSteps = outputs["reasoning_steps"]![0]!;
      return outputs["velocity"] as Float32Array;
    };
    const total = settings.sigmas.length - 1;
    for await (const step of sample(guided(velocity, text, empty, settings.guidance), x, settings.sigmas, settings.method)) {
      yield { kind: "step", index: step.index, total, sigma: step.sigma, x: step.x, x0: step.x0, reasoningSteps };
      x = step.x as Float32Array<ArrayBuffer>;
    }
    return x;
  }

  private async *decode(latent: Float32Array): Stage<Float32Array> {
    return (await this.run("decoder", { latent }))["image"] as Float32Array;
  }

  private async run(component: ComponentName, inputs: Record<string, TensorData>): Promise<Record<string, TensorData>> {
    const outputs = await this.backend.run(inputs);
    for (const [name, values] of Object.entries(outputs)) {
      if (!values.every(Number.isFinite)) {
        throw new LiraError(`the ${component} returned ${name} with values that are not finite numbers.`, "not_finite");
      }
    }
    return outputs;
  }
}

function tooLong(dropped: string): string {
  const said = dropped.length <= MOST_SAID ? dropped : `${dropped.slice(0, MOST_SAID)}...`;
  const room = PROMPT_TOKENS - 2;
  return `the prompt is longer than the ${room} tokens that the text encoder reads, it would lose "${said}"; shorten it or ask for it to be cut.`;
}

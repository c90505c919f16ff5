/** What the worker says and what the user asked, and what follows: which bundle is open, and what is drawn. */

import { LiraError } from "../core/errors";
import { beginning, printable } from "../core/say";
import { Store } from "../storage/store";
import type { BundleSummary, DrawRequest, FromWorker, Place } from "../worker/protocol";
import { page } from "./elements";
import { Engine } from "./engine";
import { offerBundle, readEngine, readRequest, rememberForm } from "./form";
import { endPreview, finishPicture, showPreview } from "./picture";
import { markRunning, takeEnded } from "./running";
import { addStage, clearError, clearStages, say, sayProgress, showBusy, showError, showMemory, showModel, showProgress } from "./view";
import { STAGE_WORDS, megabytes } from "./words";

type State = "reading" | "empty" | "ready" | "drawing";

const ORIGIN: Place = { kind: "origin", folder: new URL("./bundle/", location.href).href };
const engine = new Engine(heard);
let state: State = "empty";
let bundle: BundleSummary | null = null;
/** Of the bundle that was open before a failure. */
let digestBefore: string | null = null;
/** Where the bundle that is being opened comes from. */
let place: Place = { kind: "kept" };
/** What is to be drawn as soon as a bundle is open; `cut` too long a prompt. */
let waiting: { cut: boolean } | null = null;
let drawing: DrawRequest | null = null;
let progress = "";
let stepSeconds: number[] = [];
/** What is to be said still: of the end of the prompt that has no effect, and of a drawing that ended as its page was closed. */
let dropped = "";
let ended: string | null = null;

function become(next: State): void {
  if (state === "drawing" && next !== "drawing") markRunning(null);
  state = next;
  const busy = next === "reading" || next === "drawing";
  showBusy(busy);
  if (busy) return;
  showProgress(null);
  endPreview();
}

export const isBusy = (): boolean => state === "reading" || state === "drawing";

export function open(from: Place): void {
  place = from;
  become("reading");
  say("Looking at the model.");
  engine.open(place, readEngine());
}

/** Open another bundle, as the user asked; the page's own where none is named. */
export function load(from: Place = ORIGIN): void {
  clearError();
  open(from);
}

/** Draw what the form asks for, after whatever must come before it. */
export function draw(cut = false): void {
  clearError();
  waiting = { cut };
  if (!bundle) return open({ kind: "kept" });
  const choice = readEngine();
  if (engine.runsWith(choice)) return begin();
  become("reading");
  place = engine.reopen(choice);
}

function begin(): void {
  if (!waiting || !bundle) return;
  const { cut } = waiting;
  waiting = null;
  try {
    drawing = readRequest(bundle, cut);
  } catch (error) {
    return failed(error as LiraError, "draw");
  }
  rememberForm();
  become("drawing");
  stepSeconds = [];
  progress = dropped = "";
  showProgress(0);
  markRunning("before its first step");
  engine.draw(drawing);
}

export function cancel(): void {
  const was = state === "drawing" ? `Cancelled${progress && `: ${progress}`}. Prompt and seed are as they were.` : "Cancelled.";
  engine.end();
  waiting = null;
  become(bundle ? "ready" : "empty");
  say(was + endedBefore());
}

function heard(message: FromWorker): void {
  const answers: { [Kind in FromWorker["kind"]]: (of: Extract<FromWorker, { kind: Kind }>) => void } = {
    reading: ({ done, total }) => sayProgress(done / total, `Checking the model: ${megabytes(done)} of ${megabytes(total)}.`),
    opened: ({ bundle: found }) => void opened(found),
    nothing_kept: nothingKept,
    prompt_cut: ({ dropped: tail }) => void (dropped = ` The prompt was too long; this has no effect: ${printable(beginning(tail, 60))}...`),
    stage: ({ stage }) => {
      if (stage === "text_encoder") clearStages();
      if (stage !== "denoiser") say(`${STAGE_WORDS[stage]}.`);
    },
    step: stepped,
    preview: showPreview,
    stage_done: ({ report }) => addStage(report),
    image: (image) => void drawn(image),
    failed: ({ code, sentence, stage, place: during }) => {
      const error = new LiraError(sentence, code);
      if (stage) error.stage = stage;
      failed(error, during);
    },
  };
  (answers[message.kind] as (of: FromWorker) => void)(message);
}

async function opened(found: BundleSummary): Promise<void> {
  bundle = found;
  showModel(found);
  offerBundle(found);
  become("ready");
  if (waiting) return begin();
  if (page.alert.textContent) {
    return say(found.digest === digestBefore ? "The model that was here before is here still." : "Another model is kept here.");
  }
  say("Ready.");
  const begun = drawing;
  ended = (await takeEnded()) ?? ended;
  if (!ended || state !== "ready" || drawing !== begun) return;
  say(`The last drawing ended ${ended}, when this page was closed; its prompt and seed are still here.`);
  ended = null;
}

/** The same after another drawing that was begun meanwhile. */
function endedBefore(): string {
  const sentence = ended ? ` The drawing before it ended ${ended}, when this page was closed.` : "";
  ended = null;
  return sentence;
}

/** At the first visit, or where another tab or the browser has removed what was here. */
function nothingKept(): void {
  forget();
  if (waiting) return open(ORIGIN);
  become("empty");
  say("Say what to draw. The model is loaded at the first drawing, and kept on this device.");
}

function forget(): void {
  engine.forget();
  bundle = null;
  showModel(null);
}

function stepped({ index, total, stepSeconds: seconds, heapBytes, reasoningSteps }: Extract<FromWorker, { kind: "step" }>): void {
  progress = `after step ${index + 1} of ${total}`;
  stepSeconds.push(seconds);
  markRunning(progress);
  const said = `Drawing: step ${index + 1} of ${total}, ${seconds.toFixed(2)} s, ${reasoningSteps} reasoning steps.`;
  sayProgress((index + 1) / total, said);
  showMemory(`The engine has ${megabytes(heapBytes)} of memory.`);
}

async function drawn(image: Extract<FromWorker, { kind: "image" }>): Promise<void> {
  const kept = finishPicture(image, drawing!);
  become("ready");
  const median = [...stepSeconds].sort((a, b) => a - b)[Math.floor(stepSeconds.length / 2)] ?? 0;
  const threads = `${image.threads} ${image.threads === 1 ? "thread" : "threads"}`;
  say(`Done: ${drawing!.steps} steps with ${threads}, ${median.toFixed(2)} s a step.${dropped}${endedBefore()}`);
  await kept;
  await showWholeMemory();
}

/** Of page and worker together, where the browser tells. */
async function showWholeMemory(): Promise<void> {
  const measure = (performance as { measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }> }).measureUserAgentSpecificMemory;
  if (!measure || !crossOriginIsolated) return;
  const { bytes } = await measure.call(performance);
  if (state !== "drawing") showMemory(`Page and worker have ${megabytes(bytes)} of memory now, the engine's included.`);
}

function failed(error: LiraError, during: "open" | "draw"): void {
  waiting = null;
  // After a failure the engine's memory may be in any state: the next drawing gets a fresh one.
  engine.end();
  const ofKept = during === "open" && place.kind === "kept";
  explain(error, ofKept);
  say("");
  // Of a file that is gone while it is drawn with, somebody has removed the bundle.
  if (during === "draw" && error.code !== "missing") return become(bundle ? "ready" : "empty");
  digestBefore = bundle?.digest ?? null;
  // One in memory went with the worker that ended for another's sake; where it came from it is read once more.
  if (bundle && !bundle.kept && !engine.cameFrom(place)) return again();
  forget();
  page.remove.hidden = !ofKept; // what is kept and damaged can be removed
  become("empty");
  if (!ofKept) open({ kind: "kept" });
}

function again(): void {
  become("reading");
  place = engine.reopen(readEngine());
}

/** Say what went wrong, and offer what may help. */
function explain(error: LiraError, ofKept: boolean): void {
  const noMemory = error.code === "out_of_memory";
  const where = noMemory && error.stage ? ` It happened at this stage: ${STAGE_WORDS[error.stage]?.toLowerCase()}.` : "";
  const advice = noMemory && page.low.checked ? " Close other pages, allow more memory, or choose a smaller model." : "";
  const instead = ofKept && !noMemory ? " Remove the model, or load this page's." : "";
  showError(error.message + where + advice + instead, error.code);
  page.less.hidden = !noMemory || page.low.checked;
  page.cut.hidden = !(error.code === "bad_input" && error.message.includes("longer than"));
}

export async function remove(): Promise<void> {
  clearError();
  forget();
  become("empty");
  try {
    await Store.removeOthers();
    say("The model is removed from this device.");
  } catch (error) {
    showError(`the model cannot be removed: ${(error as Error).message}.`, "io_error");
  }
}

/** The page: what the user does, what the worker says, and what follows. */

import { LiraError } from "../core/errors";
import { Store } from "../storage/store";
import type { BundleSummary, DrawRequest, FromWorker, Place } from "../worker/protocol";
import { page } from "./elements";
import { Engine } from "./engine";
import { offerBundle, readEngine, readRequest, rememberForm, restoreForm, rollSeed } from "./form";
import { becomeIsolated } from "./isolation";
import { keepPicture, lastPicture, recall, remember, type LastPicture } from "./memory";
import { STAGE_WORDS, addStage, clearError, clearStages, fileName, hideCaption, megabytes, offerDownload, say, showError, showMemory, showModel, showPixels, showPng, showProgress } from "./view";

type State = "reading" | "empty" | "ready" | "drawing";

const BUNDLE_FOLDER = new URL("./bundle/", location.href).href;
const engine = new Engine(heard);
let state: State = "empty";
let bundle: BundleSummary | null = null;
/** Where the bundle that is being opened comes from. */
let place: Place = { kind: "kept" };
/** What is to be drawn as soon as a bundle is open; `cut` too long a prompt. */
let waiting: { cut: boolean } | null = null;
let drawing: DrawRequest | null = null;
let progress = "";
let stepSeconds: number[] = [];
/** The last picture that was finished, and whether a preview hides it now. */
let last: (LastPicture & { png: Blob }) | null = null;
let previewed = false;

function become(next: State): void {
  state = next;
  const busy = next === "reading" || next === "drawing";
  page.draw.disabled = page.load.disabled = page.pick.disabled = page.remove.disabled = busy;
  page.cancel.disabled = !busy;
  if (!busy) showProgress(null);
  if (next !== "drawing") remember("running", null);
  if (!busy && previewed) void showLast(); // a drawing that did not come to its end takes nothing away
}

async function showLast(): Promise<void> {
  previewed = false;
  if (!last) return;
  await showPng(last.png, `The picture of ${last.caption}`);
  offerDownload(last.png, last.name, last.caption);
}

function open(from: Place): void {
  place = from;
  become("reading");
  say("Looking at the model.");
  engine.open(place, readEngine());
}

/** Open another bundle, as the user asked. */
function load(from: Place): void {
  clearError();
  open(from);
}

/** Draw what the form asks for, after whatever must come before it. */
function draw(cut = false): void {
  clearError();
  waiting = { cut };
  if (!bundle) return open({ kind: "origin", folder: BUNDLE_FOLDER });
  const choice = readEngine();
  if (engine.runsWith(choice)) return begin();
  become("reading");
  engine.reopen(choice);
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
  progress = "";
  showProgress(0);
  remember("running", "before its first step");
  engine.draw(drawing);
}

function cancel(): void {
  const was = state === "drawing" ? `Cancelled${progress && `: ${progress}`}. Prompt and seed are as they were.` : "Cancelled.";
  engine.end();
  waiting = null;
  become(bundle ? "ready" : "empty");
  say(was);
}

function heard(message: FromWorker): void {
  const answers: { [Kind in FromWorker["kind"]]: (of: Extract<FromWorker, { kind: Kind }>) => void } = {
    reading: ({ done, total }) => {
      showProgress(done / total);
      say(`Checking the model: ${megabytes(done)} of ${megabytes(total)}.`);
    },
    opened: ({ bundle: found }) => opened(found),
    nothing_kept: () => {
      become("empty");
      say("Say what to draw. The model is loaded at the first drawing, and kept on this device.");
    },
    prompt_cut: ({ dropped }) => showMemory(`The prompt was too long; this has no effect: ${dropped.slice(0, 60)}...`),
    stage: ({ stage }) => {
      if (stage === "text_encoder") clearStages();
      if (stage !== "denoiser") say(`${STAGE_WORDS[stage]}.`);
    },
    step: stepped,
    preview: ({ pixels, side, index }) => {
      previewed = true;
      hideCaption();
      showPixels(pixels, side, `Preview after step ${index + 1}`);
    },
    previews_off: () => showMemory("There is no memory for previews; the drawing goes on without them."),
    stage_done: ({ report }) => addStage(report),
    image: (image) => void drawn(image),
    failed: ({ code, sentence, stage, place }) => {
      const error = new LiraError(sentence, code);
      if (stage) error.stage = stage;
      failed(error, place);
    },
  };
  (answers[message.kind] as (of: FromWorker) => void)(message);
}

function opened(found: BundleSummary): void {
  bundle = found;
  showModel(found);
  offerBundle(found);
  become("ready");
  if (waiting) return begin();
  const cut = recall<string>("cut-off");
  remember("cut-off", null);
  if (page.alert.textContent) return say("The model that was here before is here still.");
  say(cut ? `The last drawing ended ${cut}, when this page was closed; its prompt and seed are still here.` : "Ready.");
}

function stepped({ index, total, stepSeconds: seconds, heapBytes, reasoningSteps }: Extract<FromWorker, { kind: "step" }>): void {
  progress = `after step ${index + 1} of ${total}`;
  stepSeconds.push(seconds);
  remember("running", progress);
  showProgress((index + 1) / total);
  say(`Drawing: step ${index + 1} of ${total}, ${seconds.toFixed(2)} s, ${reasoningSteps} reasoning steps.`);
  showMemory(`The engine has ${megabytes(heapBytes)} of memory.`);
}

async function drawn({ png, pixels, side, threads }: Extract<FromWorker, { kind: "image" }>): Promise<void> {
  const { prompt, seed, steps } = drawing!;
  const caption = `“${prompt.slice(0, 300)}”, seed ${seed}`;
  showPixels(pixels, side, `The picture of ${caption}`);
  last = { png, name: fileName(prompt, seed), caption };
  previewed = false;
  offerDownload(png, last.name, caption);
  become("ready");
  const median = [...stepSeconds].sort((a, b) => a - b)[Math.floor(stepSeconds.length / 2)] ?? 0;
  say(`Done: ${steps} steps with ${threads} ${threads === 1 ? "thread" : "threads"}, ${median.toFixed(2)} s a step.`);
  await keepPicture(png, last);
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
  explain(error);
  say("");
  if (during === "draw") return become(bundle ? "ready" : "empty");
  bundle = null;
  showModel(null);
  page.remove.hidden = place.kind !== "kept"; // what is kept and damaged can be removed
  become("empty");
  if (place.kind !== "kept") open({ kind: "kept" });
}

/** Say what went wrong, and offer what may help. */
function explain(error: LiraError): void {
  const noMemory = error.code === "out_of_memory";
  const where = noMemory && error.stage ? ` It happened at this stage: ${STAGE_WORDS[error.stage]?.toLowerCase()}.` : "";
  const advice = noMemory && page.low.checked ? " Close other pages, allow more memory, or choose a smaller model." : "";
  showError(error.message + where + advice, error.code);
  page.less.hidden = !noMemory || page.low.checked;
  page.cut.hidden = !(error.code === "bad_input" && error.message.includes("longer than"));
}

async function remove(): Promise<void> {
  clearError();
  engine.forget();
  bundle = null;
  showModel(null);
  become("empty");
  try {
    await Store.removeOthers();
    say("The model is removed from this device.");
  } catch (error) {
    showError(`the model cannot be removed: ${(error as Error).message}.`, "io_error");
  }
}

function listen(): void {
  page.form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (state === "ready" || state === "empty") draw();
  });
  page.prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) page.form.requestSubmit();
  });
  page.dice.addEventListener("click", rollSeed);
  page.cancel.addEventListener("click", cancel);
  page.load.addEventListener("click", () => load({ kind: "origin", folder: BUNDLE_FOLDER }));
  page.pick.addEventListener("click", () => page.folder.click());
  page.folder.addEventListener("change", () => {
    const files = [...(page.folder.files ?? [])];
    if (files.length) load({ kind: "folder", files });
    page.folder.value = ""; // the same folder may be picked again
  });
  page.remove.addEventListener("click", () => void remove());
  page.cut.addEventListener("click", () => draw(true));
  page.less.addEventListener("click", () => {
    page.low.checked = true;
    page.low.closest("details")!.open = true;
    draw();
  });
}

async function start(): Promise<void> {
  if (await becomeIsolated()) return;
  restoreForm();
  listen();
  const running = recall<string>("running");
  if (running) remember("cut-off", running);
  last = await lastPicture();
  await showLast().catch(() => {}); // a file that was cut short is no picture
  open({ kind: "kept" });
}

void start();

/** The worker as the page uses it: opened with a bundle, asked to draw, ended to cancel. */

import type { BundleSummary, DrawRequest, EngineChoice, FromWorker, Place, ToWorker } from "../worker/protocol";

type Listen = (message: FromWorker) => void;

/** Cancelling ends the worker: it stops at any moment, in the middle of a step too, and gives its memory back. */
export class Engine {
  private worker: Worker | null = null;
  private choice: EngineChoice | null = null;
  private place: Place = { kind: "kept" };
  private during: "open" | "draw" = "open";
  /** The bundle that was opened last, and where from: its files were checked in this session. */
  private checked: { readonly bundle: BundleSummary; readonly place: Place } | null = null;

  constructor(private readonly listen: Listen) {}

  /** Open a bundle in a fresh worker. */
  open(place: Place, choice: EngineChoice): void {
    this.end();
    this.place = place;
    this.during = "open";
    this.choice = choice;
    const worker = new Worker(new URL("../worker/worker.ts", import.meta.url), { type: "module", name: "lira" });
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
      if (worker === this.worker) this.heard(data);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      const sentence = `the worker failed: ${event.message || "it did not start; load the page once more"}.`;
      if (worker === this.worker) this.heard({ kind: "failed", code: "internal", sentence, stage: null, place: this.during });
    });
    this.worker = worker;
    this.send({ kind: "open", engine: choice, place, checked: this.checked?.bundle.digest ?? null });
  }

  /** Whether it runs, with these settings. */
  runsWith(choice: EngineChoice): boolean {
    return this.worker !== null && JSON.stringify(choice) === JSON.stringify(this.choice);
  }

  /** Open once more what was open; returns where it comes from now. */
  reopen(choice: EngineChoice): Place {
    const { bundle, place } = this.checked ?? {};
    this.open(bundle?.kept || !place ? { kind: "kept" } : place, choice);
    return this.place;
  }

  /** Whether what was opened last came from there. */
  cameFrom(place: Place): boolean {
    return this.checked?.place === place;
  }

  draw(request: DrawRequest): void {
    this.during = "draw";
    this.send({ kind: "draw", request });
  }

  /** Stop, and know of no bundle any more. */
  forget(): void {
    this.end();
    this.checked = null;
  }

  /** Stop whatever it does. */
  end(): void {
    this.worker?.terminate();
    this.worker = null;
  }

  private send(message: ToWorker): void {
    this.worker?.postMessage(message);
  }

  private heard(message: FromWorker): void {
    if (message.kind === "opened") this.checked = { bundle: message.bundle, place: this.place };
    this.listen(message);
  }
}

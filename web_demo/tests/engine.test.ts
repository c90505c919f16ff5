/** What the page hears of a worker that fails. */

import { afterEach, expect, test, vi } from "vitest";
import { Engine } from "../src/page/engine";
import type { DrawRequest, FromWorker } from "../src/worker/protocol";

const choice = { threads: 1, lowMemory: false, limitBytes: 1 };
const request = { prompt: "a cat" } as DrawRequest;
let worker: EventTarget;

class SilentWorker extends EventTarget {
  constructor() {
    super();
    worker = this;
  }
  postMessage(): void {}
  terminate(): void {}
}

afterEach(() => vi.unstubAllGlobals());

test("one that fails while it draws takes no bundle with it; one that fails as it opens does", () => {
  vi.stubGlobal("Worker", SilentWorker);
  const heard: FromWorker[] = [];
  const engine = new Engine((message) => heard.push(message));
  const crash = (): boolean => worker.dispatchEvent(new Event("error"));
  engine.open({ kind: "kept" }, choice);
  crash();
  engine.draw(request);
  crash();
  engine.reopen(choice);
  crash();
  expect(heard.map((message) => message.kind === "failed" && message.place)).toEqual(["open", "draw", "open"]);
});

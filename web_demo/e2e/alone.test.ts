/** Where the page gets no service worker, it works without one. */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { BUNDLE, DIST, PLAIN_HOST, ask, said, serve, visit } from "./browser";

/** Draw with what `dist` builds, at a host, and say how it went. */
async function drawn(host: string, dist?: string): Promise<string> {
  const site = await serve(BUNDLE, false, 0, dist);
  onTestFinished(site.stop);
  const all = await visit(site.address.replace("localhost", host));
  onTestFinished(all.close);
  await said(all.page, /Say what to draw/);
  await ask(all.page, "a red apple", 1);
  await all.page.click("#draw");
  const done = await said(all.page, /^Done/);
  expect(all.faults).toEqual([]);
  return done;
}

test("over plain HTTP from another machine it draws, from memory and with one thread", async () => {
  expect(await drawn(PLAIN_HOST)).toMatch(/^Done: 1 steps with 1 thread,/);
});

test("where a file of the service worker cannot be loaded, it draws with one thread", async () => {
  const dist = mkdtempSync(join(tmpdir(), "lira-dist-"));
  onTestFinished(() => rmSync(dist, { recursive: true }));
  cpSync(DIST, dist, { recursive: true });
  const script = join(dist, "sw.js");
  writeFileSync(script, readFileSync(script, "utf8").replace("./icon.svg", "./gone.svg"));
  expect(await drawn("localhost", dist)).toMatch(/^Done: 1 steps with 1 thread,/);
});

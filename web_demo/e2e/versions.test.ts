/** A new version of the page is put on the server while the page is open. */

import { cpSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BUNDLE, DIST, said, serve, visit, type Site, type Visit } from "./browser";

const NEWER = "0123456789abcdef";
const NEWER_CACHE = `lira-page-${NEWER}`;
const dist = mkdtempSync(join(tmpdir(), "lira-dist-"));
let site: Site;
let all: Visit;

beforeAll(async () => {
  cpSync(DIST, dist, { recursive: true });
  site = await serve(BUNDLE, true, 0, dist);
  all = await visit(site.address);
}, 120_000);

afterAll(async () => {
  await all.close();
  await site.stop();
  rmSync(dist, { recursive: true });
});

/** Give the worker's script another name, as a change of it would, and the page that is built of them another version. */
function deploy(): void {
  const assets = join(dist, "assets");
  const worker = readdirSync(assets).find((name) => name.startsWith("worker-"))!;
  renameSync(join(assets, worker), join(assets, "worker-newer.js"));
  for (const name of ["index.html", "sw.js", ...readdirSync(assets).map((each) => `assets/${each}`)].filter((each) => /\.(js|html)$/.test(each))) {
    const text = readFileSync(join(dist, name), "utf8").replaceAll(worker, "worker-newer.js");
    writeFileSync(join(dist, name), name === "sw.js" ? text.replace(/\b[0-9a-f]{16}\b/, NEWER) : text);
  }
}

/** Draw with another setting, which starts the worker anew; returns its script's name. */
async function drawAnew(page: Page, threads: string): Promise<string> {
  await page.fill("#threads", threads);
  await page.click("#draw");
  await said(page, new RegExp(`^Done: 1 steps with ${threads} `), 30_000);
  return page.workers()[0]!.url().split("/").at(-1)!;
}

test("the page that is open goes on with its own version; opened after it, it is the new one", async () => {
  const { page } = all;
  await said(page, /Say what to draw/);
  await page.fill("#prompt", "a red apple");
  await page.click("summary");
  await page.fill("#steps", "1");
  const older = await drawAnew(page, "2");
  deploy();
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
  await expect.poll(() => page.evaluate(async () => caches.keys()), { timeout: 60_000 }).toContain(NEWER_CACHE);
  await expect.poll(() => page.evaluate(async () => (await navigator.serviceWorker.ready).installing), { timeout: 60_000 }).toBeNull();
  await page.waitForTimeout(500);
  expect(await drawAnew(page, "1")).toBe(older);
  await page.goto("about:blank"); // no page of it is open
  await expect.poll(() => all.context.serviceWorkers().at(-1)!.evaluate("caches.keys()"), { timeout: 60_000 }).toEqual([NEWER_CACHE]);
  await page.goto(site.address);
  await said(page, /^Ready/);
  await page.click("summary");
  expect(await drawAnew(page, "2")).toBe("worker-newer.js");
  expect(all.faults).toEqual([]);
});

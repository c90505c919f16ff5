/** Two tabs of one browser, and a model that is kept, cancelled or removed. */

import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { BUNDLE, alerted, said, serve, visit, type Site, type Visit } from "./browser";

const LONG_MS = 120_000;
const NONE = "No model is loaded yet.";
const yard = mkdtempSync(join(tmpdir(), "lira-tabs-"));
let site: Site;
let all: Visit;
let page: Page;

beforeAll(async () => {
  site = await serve(BUNDLE);
  all = await visit(site.address);
  page = all.page;
  await said(page, /Say what to draw/);
  await page.click("summary");
}, LONG_MS);

afterAll(async () => {
  await all.close();
  await site.stop();
  rmSync(yard, { recursive: true });
}, LONG_MS);

afterEach(() => expect(all.faults.splice(0)).toEqual([]));

async function begin(steps: number): Promise<void> {
  await page.fill("#prompt", "a red apple");
  await page.fill("#steps", String(steps));
  await page.click("#draw");
}

const model = async (): Promise<string> => (await page.locator("#model").textContent())!;

/** The bundle under another name, its checksum made anew. */
function renamed(preset: string): string {
  const folder = join(yard, preset);
  cpSync(BUNDLE, folder, { recursive: true });
  const text = readFileSync(join(folder, "manifest.json"), "utf8").replace('"preset": "nano"', `"preset": "${preset}"`);
  const zeroed = text.replace(/[0-9a-f]{64}(?=[^0-9a-f]*$)/, "0".repeat(64));
  const digest = createHash("sha256").update(zeroed).digest("hex");
  writeFileSync(join(folder, "manifest.json"), zeroed.replace(/0{64}(?=[^0-9a-f]*$)/, digest));
  return folder;
}

test("while one tab draws, another does not say that the drawing has ended; when the first is closed, a third does", async () => {
  await begin(900);
  await said(page, /^Drawing: step ([2-9]|\d\d+) /);
  const second = await all.open();
  await said(second, /^Ready/);
  await second.waitForTimeout(2000);
  expect(await said(second, /./)).toBe("Ready.");
  await page.close();
  page = await all.open();
  await said(page, /^The last drawing ended after step \d+ of 900/);
  await second.close();
  await page.click("summary");
});

test("removed in another tab, the model is loaded again by the next drawing", async () => {
  await begin(900);
  await said(page, /^Drawing/);
  const second = await all.open();
  await said(second, /^Ready/);
  await second.click("#remove");
  await said(second, /removed/);
  await second.close();
  await page.click("#cancel");
  await begin(1);
  await said(page, /^Done/, 30_000);
  expect(await model()).toMatch(/^nano.*kept on this device/);
});

test("removed in another tab while it is open here, that is said, and the next drawing loads it", async () => {
  await page.evaluate(async () => (await navigator.storage.getDirectory()).removeEntry("lira", { recursive: true }));
  await begin(1);
  expect(await alerted(page, 30_000)).toMatch(/ missing$/);
  await said(page, /^Say what to draw/, 30_000);
  expect(await model()).toBe(NONE);
  await begin(1);
  await said(page, /^Done/, 30_000);
});

test("where a model is refused, and another tab has kept another meanwhile, that is said", async () => {
  const second = await all.open();
  await said(second, /^Ready/);
  await second.setInputFiles("#folder", renamed("theirs"));
  await expect.poll(() => second.locator("#model").textContent(), { timeout: 30_000 }).toMatch(/^theirs,/);
  await second.close();
  writeFileSync(join(yard, "theirs", "notes.txt"), "mine");
  await page.setInputFiles("#folder", join(yard, "theirs"));
  expect(await alerted(page)).toMatch(/ extra$/);
  expect(await said(page, /kept here/)).toBe("Another model is kept here.");
  expect(await model()).toMatch(/^theirs,/);
});

test("cancelled while what is kept is read, the next drawing is drawn with it and not with the page's own model", async () => {
  await page.setInputFiles("#folder", renamed("mine"));
  await said(page, /^Ready/);
  await page.addInitScript(() => {
    const cancelAtOnce = new MutationObserver(() => {
      const cancel = document.querySelector<HTMLButtonElement>("#cancel:enabled");
      if (cancel) cancelAtOnce.disconnect();
      cancel?.click();
    });
    cancelAtOnce.observe(document, { subtree: true, attributes: true });
  });
  await page.reload();
  await said(page, /^Cancelled/);
  expect(await model()).toBe(NONE);
  await page.click("summary");
  await begin(1);
  await said(page, /^Done/, 30_000);
  expect(await model()).toMatch(/^mine,/);
});

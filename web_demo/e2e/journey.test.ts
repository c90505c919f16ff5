/** One visitor's whole way with the page, on a server that sends no special header. */

import { appendFileSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { BUNDLE, alerted, ask, downloaded, said, serve, visit, type Site, type Visit } from "./browser";
import { psnrDb, readPng, type Picture } from "./png";

const PROMPT = "a panda right of a pizza on a pink background";
/** Past the first step, wherever the page is when it is looked at. */
const MIDWAY = /^Drawing: step ([2-9]|\d\d+) /;
const STEPS = 4;
const LONG_MS = 120_000;
const yard = mkdtempSync(join(tmpdir(), "lira-e2e-"));
const bundle = join(yard, "bundle");
const digest = createHash("sha256").update(readFileSync(join(BUNDLE, "manifest.json"))).digest("hex");
let site: Site;
let all: Visit;
let page: Page;
let first: Picture;

beforeAll(async () => {
  cpSync(BUNDLE, bundle, { recursive: true });
  site = await serve(bundle, false);
  all = await visit(site.address);
  page = all.page;
}, LONG_MS);

afterAll(async () => {
  await all.close();
  await site.stop();
  rmSync(yard, { recursive: true });
}, LONG_MS);

afterEach(() => expect(all.faults.splice(0)).toEqual([]));

/** Change a byte of a file of the bundle that the server has, until the function that is returned is called. */
function damage(file: string, change: (place: string) => void): () => void {
  const place = join(bundle, file);
  const before = readFileSync(place);
  change(place);
  return () => writeFileSync(place, before);
}

const flip = (at: number) => (place: string): void => {
  const data = readFileSync(place);
  data[at]! ^= 1;
  writeFileSync(place, data);
};

const rewrite = (from: string, to: string) => (place: string): void => {
  const text = readFileSync(place, "utf8");
  expect(text).toContain(from);
  writeFileSync(place, text.replace(from, to));
};

test("it becomes isolated by its service worker, and says what comes first", async () => {
  await said(page, /Say what to draw/);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  expect(await page.inputValue("#threads")).not.toBe("");
});

test("cancelled in the middle of the first loading, it is ready at once, and takes no half of a model for one", async () => {
  const release = site.hold("/bundle/denoiser.onnx.data");
  await ask(page, PROMPT, STEPS);
  await page.click("#draw");
  await said(page, /^Checking the model: /);
  expect(await page.isDisabled("#draw")).toBe(true);
  await page.click("#cancel");
  expect(await said(page, /^Cancelled/)).toBe("Cancelled.");
  await expect.poll(() => page.workers().length, { timeout: 30_000 }).toBe(0);
  release();
  expect([await page.isEnabled("#draw"), await page.isEnabled("#cancel"), await page.isVisible("#progress")]).toEqual([true, false, false]);
  expect(await page.locator("#model").textContent()).toBe("No model is loaded yet.");
  await page.reload();
  await said(page, /Say what to draw/);
});

test("a typed prompt becomes a picture, by the keyboard alone, with previews", async () => {
  await ask(page, "", STEPS);
  await page.selectOption("#previews", "2");
  // A preview may be gone sooner than somebody looks.
  await page.locator("#picture").evaluate((picture) => {
    const note = (): unknown => (picture.dataset["labels"] = `${picture.dataset["labels"] ?? ""}${picture.getAttribute("aria-label")}\n`);
    new MutationObserver(note).observe(picture, { attributeFilter: ["aria-label"] });
  });
  await page.focus("#prompt");
  await page.keyboard.type(PROMPT);
  await page.keyboard.press("Control+Enter");
  expect(await said(page, /^Done/, LONG_MS)).toMatch(/^Done: 4 steps with \d+ threads?, [\d.]+ s a step\.$/);
  expect(await page.locator("#picture").getAttribute("data-labels")).toBe(`Preview after step 2\nThe picture of “${PROMPT}”, seed 7\n`);
  expect(await page.locator("#stages tr").count()).toBe(3);
  expect(await page.locator("#model").textContent()).toMatch(/^nano, .* 256 px: .* all checked; kept on this device\.$/);
  first = await downloaded(page);
  expect(first.side).toBe(256);
  expect(first.texts).toEqual({ Software: "LiRA", prompt: PROMPT, seed: "7", steps: String(STEPS), sampler: "dpm", guidance: "3", bundle: digest });
});

test("cancelled at any moment, it is ready at once, and draws the same again", async () => {
  await ask(page, PROMPT, 900);
  await page.click("#draw");
  await said(page, MIDWAY);
  await page.click("#cancel");
  expect(await said(page, /^Cancelled/)).toMatch(/^Cancelled: after step \d+ of 900\. Prompt and seed are as they were\.$/);
  expect((await downloaded(page)).pixels.length).toBe(first.pixels.length); // what was finished before is there still
  await page.click("#draw");
  await page.click("#cancel"); // before it has begun
  await said(page, /^Cancelled/);
  await ask(page, PROMPT, STEPS);
  await page.click("#draw");
  await said(page, /^Done/, LONG_MS);
  expect(psnrDb((await downloaded(page)).pixels, first.pixels)).toBe(Infinity);
});

test("a page that is closed in the middle says so when it is opened again, and has lost nothing", async () => {
  await ask(page, "a fox left of a cake", 900);
  await page.click("#draw");
  await said(page, MIDWAY);
  await page.close();
  page = await all.open();
  expect(await said(page, /ended/)).toMatch(/^The last drawing ended after step \d+ of 900, when this page was closed; its prompt and seed are still here\.$/);
  expect(await page.inputValue("#prompt")).toBe("a fox left of a cake");
  expect(psnrDb((await downloaded(page)).pixels, first.pixels)).toBe(Infinity);
});

test("offline it loads, and draws the same picture", async () => {
  await site.stop();
  await all.context.setOffline(true);
  await page.reload();
  await said(page, /^Ready/);
  await ask(page, PROMPT, STEPS);
  await page.click("#draw");
  await said(page, /^Done/, LONG_MS);
  expect(psnrDb((await downloaded(page)).pixels, first.pixels)).toBe(Infinity);
  await all.context.setOffline(false);
  const port = Number(new URL(site.address).port);
  site = await serve(bundle, false, port);
});

test.each<[string, (place: string) => void, string]>([
  ["an altered word", rewrite('"preset": "nano"', '"preset": "mano"'), "manifest_checksum"],
  ["a newer version", rewrite('"format_version": 5', '"format_version": 6'), "manifest_version"],
])("a manifest with %s is refused, and the model that was there stays", async (_name, change, code) => {
  const mend = damage("manifest.json", change);
  await page.click("#load");
  const sentence = await alerted(page);
  mend();
  expect(sentence).toMatch(new RegExp(`\\. ${code}$`));
  await said(page, /The model that was here before is here still/);
});

test("a damaged file is refused; mended, what had come whole is not loaded again", async () => {
  await page.click("#remove");
  await said(page, /removed/);
  for (const [change, code] of [[flip(1000), "wrong_sha256"], [(place: string) => appendFileSync(place, "x"), "wrong_size"]] as const) {
    const mend = damage("decoder.onnx.data", change);
    await page.click("#load");
    expect(await alerted(page)).toMatch(new RegExp(`^decoder\\.onnx\\.data .*\\. ${code}$`));
    await said(page, /Say what to draw/);
    expect(await page.locator("#model").textContent()).toBe("No model is loaded yet.");
    mend();
  }
  const loaded: string[] = [];
  const note = (request: { url(): string }): unknown => loaded.push(request.url().split("/").at(-1)!);
  all.context.on("request", note);
  await page.click("#load");
  await said(page, /^Ready/);
  all.context.off("request", note);
  expect(loaded).toContain("decoder.onnx.data");
  expect(loaded).not.toContain("denoiser.onnx.data");
});

test("a picked folder with a file too many is refused; without it, it is opened", async () => {
  writeFileSync(join(bundle, "notes.txt"), "mine");
  await page.setInputFiles("#folder", bundle);
  expect(await alerted(page)).toMatch(/notes\.txt, which the manifest does not name\. extra$/);
  await said(page, /here still/);
  rmSync(join(bundle, "notes.txt"));
  await page.setInputFiles("#folder", bundle);
  await said(page, /^Ready/);
});

test("without room it works from memory, and says so; removed, it is gone", async () => {
  await page.click("#remove");
  await said(page, /removed/);
  const session = await all.context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(site.address).origin, quotaSize: 1_000_000 });
  await page.click("#load");
  await said(page, /^Ready/);
  writeFileSync(join(bundle, "notes.txt"), "mine");
  await page.setInputFiles("#folder", bundle); // it is refused, and that in memory survives it
  await alerted(page);
  rmSync(join(bundle, "notes.txt"));
  await said(page, /here still/);
  expect(await page.locator("#model").textContent()).toMatch(/in memory until this page is closed\.$/);
  await ask(page, PROMPT, STEPS);
  await page.click("#draw");
  await said(page, /^Done/, LONG_MS);
  expect(psnrDb((await downloaded(page)).pixels, first.pixels)).toBe(Infinity);
  await page.reload();
  await said(page, /Say what to draw/);
});

const golden = new URL("../../tests/golden/nano.json", import.meta.url);
test.runIf(existsSync(golden))("the golden drawing comes out as Python draws it", async () => {
  const wanted = JSON.parse(readFileSync(golden, "utf8")) as { prompt: string; seed: number | string; steps: number; guidance: number; method: string; picture: string };
  await ask(page, wanted.prompt, wanted.steps);
  await page.fill("#seed", String(wanted.seed));
  await page.fill("#guidance", String(wanted.guidance));
  await page.selectOption("#method", wanted.method);
  await page.click("#draw");
  await said(page, /^Done/, LONG_MS);
  const reference = readPng(readFileSync(new URL(wanted.picture, golden)));
  expect(psnrDb((await downloaded(page)).pixels, reference.pixels)).toBeGreaterThanOrEqual(45);
});

/** Requests that cannot be granted as they are: too long, out of range, or too large for the memory. */

import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Page } from "playwright-core";
import { BUNDLE, alerted, ask, downloaded, said, serve, visit, type Site, type Visit } from "./browser";

const LONG_MS = 120_000;
let site: Site;
let all: Visit;
let page: Page;

beforeAll(async () => {
  site = await serve(BUNDLE);
  all = await visit(site.address);
  page = all.page;
  await said(page, /Say what to draw/);
}, LONG_MS);

afterAll(async () => {
  await all.close();
  await site.stop();
}, LONG_MS);

afterEach(() => expect(all.faults.splice(0)).toEqual([]));

test("of 10,000 characters it says what has no effect, and draws the beginning where that is wanted", async () => {
  await ask(page, "a red apple on a blue background and ".repeat(271).slice(0, 10_000), 1);
  await page.click("#draw");
  expect(await alerted(page)).toMatch(/longer than the 75 tokens .* bad_input$/);
  await page.click("#cut");
  expect(await said(page, /^Done/, LONG_MS)).toMatch(/ a step\. The prompt was too long; this has no effect: .{60}\.\.\.$/);
  expect((await downloaded(page)).texts["prompt"]).toHaveLength(10_000);
});

test.each([
  ["", "#seed", "7", /prompt is empty/],
  ["a cat", "#seed", "seven", /seed must be a whole number/],
  ["a cat", "#seed", "18446744073709551616", /seed must lie between 0 and 18446744073709551615/],
  ["a cat", "#steps", "1001", /Steps must lie between 1 and 1000/],
  ["a cat", "#guidance", "101", /Guidance must lie between 0 and 100/],
])("prompt %j, %s %s: one sentence", async (prompt, field, value, sentence) => {
  await ask(page, prompt, 1);
  const before = await page.inputValue(field);
  await page.fill(field, value);
  await page.click("#draw");
  expect(await alerted(page)).toMatch(sentence);
  await page.fill(field, before);
});

test("without memory it names the stage, and draws with less where that is asked for", async () => {
  await ask(page, "a panda right of a pizza", 1);
  await page.fill("#limit", "24");
  await page.click("#draw");
  expect(await alerted(page)).toMatch(/^There is not enough memory to .*stage: drawing\. out_of_memory$/);
  await page.fill("#limit", "4096");
  await page.click("#less");
  expect(await said(page, /^Done/, LONG_MS)).toMatch(/with 1 thread/);
  expect(await page.isChecked("#low")).toBe(true);
  await page.uncheck("#low");
});

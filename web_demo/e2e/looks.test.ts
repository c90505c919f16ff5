/** How the page looks on a phone and on a desk, light and dark; and whether everybody can use it (axe-core). */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BUNDLE, alerted, said, serve, visit, type Site, type Visit } from "./browser";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** With LIRA_SHOTS=1 the pictures in docs are made anew. */
const SHOTS = process.env["LIRA_SHOTS"] ? fileURLToPath(new URL("../docs/", import.meta.url)) : null;
const SCREENS = [
  { name: "desktop", width: 1280, height: 860, scale: 1 },
  { name: "phone", width: 390, height: 844, scale: 2 },
] as const;
let site: Site;
let all: Visit;

beforeAll(async () => {
  site = await serve(BUNDLE);
  all = await visit(site.address);
  await all.page.fill("#prompt", "a panda right of a pizza on a pink background");
  await all.page.locator("#steps").evaluate((steps: HTMLInputElement, value) => (steps.value = value), SHOTS ? "20" : "2");
  await all.page.click("#draw");
  await said(all.page, /^Done/, 170_000);
}, 240_000);

afterAll(async () => {
  await all.close();
  await site.stop();
});

interface Finding {
  id: string;
  impact: string;
  nodes: { target: string[] }[];
}

async function seriousFindings(): Promise<string[]> {
  await all.page.evaluate(AXE);
  const { violations } = (await all.page.evaluate("axe.run()")) as { violations: Finding[] };
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map((each) => `${each.id}: ${each.nodes.map((node) => node.target).join("; ")}`);
}

test.runIf(SHOTS)("pictures of the page", async () => {
  const { page, context } = all;
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  const session = await context.newCDPSession(page);
  for (const { name, width, height, scale } of SCREENS) {
    for (const colorScheme of ["light", "dark"] as const) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await session.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: false });
      await page.screenshot({ path: `${SHOTS}${name}-${colorScheme}.png`, fullPage: true });
    }
  }
  await session.send("Emulation.clearDeviceMetricsOverride");
  await session.detach();
});

for (const { name, width, height } of SCREENS) {
  for (const colorScheme of ["light", "dark"] as const) {
    test(`${name}, ${colorScheme}: nothing is cut off, and axe finds nothing serious, with a picture and with an error`, async () => {
      const { page } = all;
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.locator("#more").evaluate((details: HTMLDetailsElement) => (details.open = false));
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      expect(await seriousFindings()).toEqual([]);
      await page.locator("#more").evaluate((details: HTMLDetailsElement) => (details.open = true));
      const prompt = await page.inputValue("#prompt");
      await page.fill("#prompt", "");
      await page.click("#draw");
      await alerted(page);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
      expect(await seriousFindings()).toEqual([]);
      await page.fill("#prompt", prompt);
    });
  }
}

test("every control has a name, is large enough for a finger, and is reached by the keyboard", async () => {
  const { page } = all;
  await page.setViewportSize({ width: 390, height: 844 });
  const controls = page.locator("button:visible, input:visible, select:visible, textarea:visible, a:visible");
  for (const control of await controls.all()) {
    const box = (await control.boundingBox())!;
    const isCheck = (await control.getAttribute("type")) === "checkbox"; // its label is what a finger meets
    expect(isCheck || box.height >= 43).toBe(true);
  }
  await page.focus("#prompt");
  const reached: string[] = [];
  for (let presses = 0; presses < 20; presses += 1) {
    reached.push(await page.evaluate(() => document.activeElement!.id));
    await page.keyboard.press("Tab");
  }
  for (const id of ["prompt", "seed", "dice", "steps", "guidance", "method", "threads", "low", "draw", "load", "pick", "remove"]) expect(reached).toContain(id);
});

test("from the page's top Tab reaches the prompt first, as it is seen", async () => {
  const { page } = all;
  await page.reload();
  await said(page, /^Ready/);
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => document.activeElement!.id)).toBe("prompt");
});

test("the focus goes to Cancel while Draw cannot be pressed, and back; no more is read aloud than can be listened to", async () => {
  const { page } = all;
  const focused = (): Promise<string> => page.evaluate(() => document.activeElement!.id);
  await page.evaluate(() => {
    const aloud: string[] = ((window as unknown as { aloud: string[] }).aloud = []);
    new MutationObserver(() => aloud.push(document.querySelector('[role="status"]')!.textContent!)).observe(document.querySelector('[role="status"]')!, { childList: true });
  });
  const setSteps = (count: string): Promise<string> => page.locator("#steps").evaluate((steps: HTMLInputElement, value) => (steps.value = value), count);
  await setSteps("900");
  await page.click("#draw");
  await said(page, /^Drawing: step/);
  await page.click("#cancel");
  await setSteps("12");
  await page.focus("#draw");
  await page.keyboard.down("Enter");
  await page.keyboard.down("Enter"); // held, it comes again
  await page.keyboard.up("Enter");
  await said(page, /^Drawing: step/);
  expect(await focused()).toBe("cancel");
  await said(page, /^Done/);
  expect(await focused()).toBe("draw");
  const aloud = await page.evaluate(() => (window as unknown as { aloud: string[] }).aloud);
  expect(aloud.flatMap((each) => /step (\d+) of 12/.exec(each)?.[1] ?? [])).toEqual(["1", "3", "6", "9"]);
  expect(aloud.at(-1)).toMatch(/^Done/);
});

test("who has the focus on Download goes to Cancel when a preview hides it", async () => {
  const { page } = all;
  await page.locator("#previews").evaluate((previews: HTMLSelectElement) => (previews.value = "1"));
  await page.focus("#download");
  await page.locator("#form").evaluate((form: HTMLFormElement) => form.requestSubmit());
  await page.locator("#download").waitFor({ state: "hidden" });
  expect(await page.evaluate(() => document.activeElement!.id)).toBe("cancel");
  await said(page, /^Done/);
});

test("there was no console error, and no request left the origin", () => expect(all.faults).toEqual([]));

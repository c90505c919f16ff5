/** Chromium with the page in it, and a watch on everything that must not happen. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import { pageServer } from "../scripts/serve.mjs";
import { readPng, type Picture } from "./png";

export const BUNDLE = process.env["LIRA_BUNDLE"] ?? fileURLToPath(new URL("../../build/nano-onnx/", import.meta.url));
export const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
export const CHROMIUM = process.env["CHROMIUM"] ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
/** A name of this machine that does not stand for a secure context, as localhost does. */
export const PLAIN_HOST = "lira.test";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", `--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`];

export interface Site {
  readonly address: string;
  /** Answers requests for a path no more until the function that is returned is called. */
  hold(path: string): () => void;
  stop(): Promise<void>;
}

/** The built page and a bundle, served by this machine. wanted: the port. dist: another built page. */
export async function serve(bundle: string, isolated = true, wanted = 0, dist = DIST): Promise<Site> {
  const server = pageServer(bundle, { isolated, dist });
  const [answer] = server.listeners("request") as RequestListener[];
  const held = new Map<string, Promise<void>>();
  server.removeAllListeners("request").on("request", async (request, response) => {
    await held.get(request.url!);
    answer!(request, response);
  });
  await new Promise<void>((resolve) => server.listen(wanted, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://localhost:${port}/`,
    hold: (path) => {
      let release = (): void => {};
      held.set(path, new Promise((resolve) => (release = resolve)));
      return () => void (held.delete(path), release());
    },
    stop: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** faults: console errors, failed scripts, and requests that left the origin. */
export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly faults: string[];
  /** The page in a new tab of the same profile, watched as well. */
  open(): Promise<Page>;
  close(): Promise<void>;
}

export async function visit(address: string, options: { dark?: boolean; width?: number; height?: number; scale?: number } = {}): Promise<Visit> {
  const profile = mkdtempSync(join(tmpdir(), "lira-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM!,
    headless: true,
    args: FLAGS,
    viewport: { width: options.width ?? 1280, height: options.height ?? 900 },
    deviceScaleFactor: options.scale ?? 1,
    colorScheme: options.dark ? "dark" : "light",
    acceptDownloads: true,
  });
  const faults: string[] = [];
  const { origin } = new URL(address);
  // Requests of the page, of its worker and of the service worker alike.
  context.on("request", (request) => {
    if (!/^(blob|data):/.test(request.url()) && new URL(request.url()).origin !== origin) faults.push(`request to ${request.url()}`);
  });
  const watched = (page: Page): Page => {
    page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
    return page;
  };
  const open = async (): Promise<Page> => {
    const page = watched(await context.newPage());
    await page.goto(address);
    return page;
  };
  const page = watched(context.pages()[0]!);
  await page.goto(address);
  const close = async (): Promise<void> => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  };
  return { context, page, faults, open, close };
}

/** What the page says once it says something that matches. */
export async function said(page: Page, pattern: RegExp, timeout = 90_000): Promise<string> {
  const status = page.locator("#status").filter({ hasText: pattern });
  await status.waitFor({ timeout });
  return (await status.textContent())!;
}

export async function alerted(page: Page, timeout = 90_000): Promise<string> {
  const alert = page.locator("#alert code");
  await alert.waitFor({ timeout });
  return (await page.locator("#alert").textContent())!;
}

/** Fill in the form. */
export async function ask(page: Page, prompt: string, steps: number): Promise<void> {
  await page.fill("#prompt", prompt);
  if (!(await page.locator("#more").getAttribute("open").then((open) => open !== null))) await page.click("summary");
  await page.fill("#steps", String(steps));
}

export async function downloaded(page: Page): Promise<Picture> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  return readPng(readFileSync(await download.path()));
}

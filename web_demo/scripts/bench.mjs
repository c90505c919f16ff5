// Seconds a step and peak memory of a drawing, in Chromium and by lira-generate, in turn, with the same bundle and threads.
// node scripts/bench.mjs BUNDLE [--threads 2] [--steps 20] [--rounds 3] [--python ../.venv/bin/python]
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { pageServer } from "./serve.mjs";

const PROMPT = "a panda right of a pizza on a pink background";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "2" },
    steps: { type: "string", default: "20" },
    rounds: { type: "string", default: "3" },
    python: { type: "string", default: "../.venv/bin/python" },
    low: { type: "boolean", default: false },
  },
});
const [bundle] = positionals;
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Resident bytes of a process now, and the most since `forgetPeak`. */
function resident(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)[1]) * 1024;
  return { now: field("VmRSS"), peak: field("VmHWM") };
}
const forgetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, "5");

async function inBrowser(address) {
  const profile = mkdtempSync(join(tmpdir(), "lira-bench-"));
  const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
  const context = await chromium.launchPersistentContext(profile, { executablePath, args: FLAGS });
  try {
    const page = context.pages()[0];
    await page.goto(address);
    const says = (pattern) => page.locator("#status").filter({ hasText: pattern }).waitFor({ timeout: 600_000 });
    await says(/Say what/);
    await page.click("#load");
    await says(/^Ready/); // loading the bundle is not part of a drawing
    await page.reload();
    await says(/^Ready/);
    const session = await context.browser().newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    const renderers = processInfo.filter((each) => each.type === "renderer").map((each) => each.id);
    const pid = renderers.reduce((a, b) => (resident(a).now > resident(b).now ? a : b)); // the page's, not a spare one
    await page.fill("#prompt", PROMPT);
    await page.click("summary");
    await page.fill("#steps", values.steps);
    await page.fill("#threads", values.threads);
    await page.selectOption("#previews", "0");
    if (values.low) await page.check("#low");
    const idle = resident(pid).now;
    forgetPeak(pid);
    await page.click("#draw");
    await says(/^Done/);
    const step = Number(/([\d.]+) s a step/.exec(await page.locator("#status").textContent())[1]);
    const rows = await page.locator("#stages tr td").allTextContents();
    return { step, peak: resident(pid).peak, idle, engine: Math.max(...rows.filter((_, i) => i % 2).map(parseFloat)) * 1e6 };
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

function inPython() {
  const out = join(tmpdir(), `lira-bench-${process.pid}.png`);
  const command = ["-m", "lira_runtime.cli", bundle, PROMPT, "--out", out, "--seed", "7", "--steps", values.steps, "--threads", values.threads, "--json"];
  const { stdout, status, stderr } = spawnSync(values.python, command, { encoding: "utf8" });
  rmSync(out, { force: true });
  if (status !== 0) throw new Error(stderr);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const times = events.filter((event) => event.event === "progress").map((event) => event.seconds);
  return { step: median(times.slice(1).map((time, i) => time - times[i])), peak: events.at(-1).peak_bytes };
}

const server = pageServer(bundle);
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const rounds = [];
for (let round = 0; round < Number(values.rounds); round += 1) {
  const python = inPython();
  rounds.push({ python, browser: await inBrowser(`http://localhost:${server.address().port}/`) });
  console.error(JSON.stringify(rounds.at(-1)));
}
server.closeAllConnections();
server.close();
const of = (side, field) => median(rounds.map((round) => round[side][field]));
const mb = (bytes) => (bytes / 1e6).toFixed(0);
console.log(`${values.threads} threads, ${values.steps} steps, medians of ${values.rounds} rounds in turn`);
console.log(`lira-generate  ${of("python", "step").toFixed(3)} s a step, peak ${mb(of("python", "peak"))} MB`);
console.log(
  `Chromium       ${of("browser", "step").toFixed(3)} s a step, peak ${mb(of("browser", "peak"))} MB of the page's process ` +
    `(${mb(of("browser", "idle"))} MB before), of which the engine ${mb(of("browser", "engine"))} MB`,
);

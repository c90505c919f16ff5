/** The lines for a page of one's own, in docs/apps.md, are those that are compiled, and a build of them works. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { expect, test } from "vitest";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const example = readFileSync(path("../examples/own_page.ts"), "utf8");

test("the documentation shows the example as it is compiled, in 30 lines", () => {
  const shown = [...readFileSync(path("../../docs/apps.md"), "utf8").matchAll(/```ts\n(.*?)```/gs)].map((found) => found[1]);
  expect(shown).toContain(example);
  expect(example.trimEnd().split("\n").length).toBeLessThanOrEqual(30);
});

test("it builds as a worker, and brings the engine's two files", async () => {
  const entry = path("../examples/own_page.ts");
  const result = await build({
    configFile: path("../vite.config.ts"),
    root: path(".."),
    logLevel: "error",
    build: { write: false, rollupOptions: { input: { own: entry } } },
  });
  const { output } = result as Rollup.RollupOutput;
  const names = output.map((file) => file.fileName);
  expect(names.filter((name) => /ort-wasm-simd-threaded.*\.(mjs|wasm)$/.test(name))).toHaveLength(2);
  const own = output.find((file): file is Rollup.OutputChunk => file.type === "chunk" && file.name === "own")!;
  expect(own.code).toMatch(/onmessage|addEventListener\(.message./);
}, 120_000);

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// One browser at a time, and each test goes on where the one before it stopped.
export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  test: { reporters: ["verbose"], include: ["*.test.ts"], testTimeout: 180_000, hookTimeout: 60_000, fileParallelism: false, sequence: { concurrent: false } },
});

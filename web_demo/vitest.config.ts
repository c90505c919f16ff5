import { defineConfig } from "vitest/config";

// The engine's build for Node in place of the browser's: the same WebAssembly, read from disk.
export default defineConfig({
  resolve: { alias: { "onnxruntime-web/wasm": "onnxruntime-web" } },
  test: { include: ["tests/**/*.test.ts"], testTimeout: 20_000 },
});

import { createHash } from "node:crypto";
import { defineConfig, type Plugin } from "vite";

/** What lets a page have threads; on other servers the service worker does it. */
const headers = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Tell the service worker which files the page consists of, and a version that changes with any of them. */
function listFiles(): Plugin {
  return {
    name: "lira-list-files",
    enforce: "post",
    generateBundle(_options, bundle) {
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk") return;
      const names = Object.keys(bundle).filter((name) => name !== "sw.js").sort();
      const digest = createHash("sha256");
      for (const name of names) {
        const file = bundle[name]!;
        digest.update(name).update(file.type === "chunk" ? file.code : file.source);
      }
      const files = ["./", "./icon.svg", ...names.filter((name) => name !== "index.html").map((name) => `./${name}`)];
      worker.code = worker.code
        .replaceAll("__FILES__", JSON.stringify(files))
        .replaceAll("__VERSION__", JSON.stringify(digest.digest("hex").slice(0, 16)));
    },
  };
}

export default defineConfig({
  base: "./",
  appType: "mpa", // a file that is missing is missing, not the page
  // The engine's own two files stay files of this origin; its threads are started from them.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", "module", "browser", "development|production"] },
  plugins: [listFiles()],
  worker: { format: "es" },
  server: { headers },
  preview: { headers },
  build: {
    target: "es2022",
    chunkSizeWarningLimit: 1000,
    rollupOptions: {
      input: { index: "index.html", sw: "src/sw.ts" },
      output: { entryFileNames: (chunk) => (chunk.name === "sw" ? "sw.js" : "assets/[name]-[hash].js") },
    },
  },
});

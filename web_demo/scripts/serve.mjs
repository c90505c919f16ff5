// Serves the built page, and a bundle's folder beside it under /bundle/: node scripts/serve.mjs BUNDLE [PORT]
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".json": "application/json",
};
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** The file of an address, or null where it would lie outside. */
function fileOf(pathname, bundle, dist) {
  const [root, path] = pathname.startsWith("/bundle/") ? [bundle, pathname.slice(7)] : [dist, pathname];
  const place = normalize(join(root, decodeURIComponent(path.endsWith("/") ? `${path}index.html` : path)));
  return place.startsWith(normalize(root + sep)) ? place : null;
}

/** A server that is not listening yet. isolated: whether it sends the headers that let a page have threads. dist: the built page. */
export function pageServer(bundle, { isolated = true, dist = DIST } = {}) {
  return createServer(async (request, response) => {
    const place = fileOf(new URL(request.url, "http://localhost").pathname, bundle, dist);
    const file = place && (await stat(place).catch(() => null));
    if (!file?.isFile()) return response.writeHead(404, { "Content-Type": "text/plain" }).end("not found");
    response.writeHead(200, {
      "Content-Type": TYPES[extname(place)] ?? "application/octet-stream",
      "Content-Length": file.size,
      "Cache-Control": "no-cache",
      ...(isolated ? ISOLATED : {}),
    });
    createReadStream(place).pipe(response);
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [bundle, port = "8080"] = process.argv.slice(2);
  if (!bundle) throw new Error("usage: node scripts/serve.mjs BUNDLE [PORT]");
  pageServer(bundle).listen(Number(port), "127.0.0.1", () => console.log(`http://localhost:${port}/ (Ctrl-C ends it)`));
}

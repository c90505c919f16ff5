/**
 * The service worker: keeps the page's own files for when there is no network, and gives them the headers that isolate
 * the page, where the server does not. Bundles are not its business: the page keeps those itself.
 */

declare const self: ServiceWorkerGlobalScope;
/** Put in by the build: the page's files, and a digest of them all. */
declare const __FILES__: readonly string[];
declare const __VERSION__: string;

const CACHE = `lira-page-${__VERSION__}`;

self.addEventListener("install", (event) => {
  // It waits until no page of the version before is open: one that is open still starts workers of its own version.
  const fetched = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    await cache.addAll(__FILES__.map((file) => new Request(file, { cache: "reload" })));
  };
  event.waitUntil(fetched());
});

self.addEventListener("activate", (event) => {
  const cleaned = async (): Promise<void> => {
    const old = (await caches.keys()).filter((name) => name.startsWith("lira-page-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(cleaned());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const scope = new URL(self.registration.scope);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return;
  const path = `./${url.pathname.slice(scope.pathname.length)}`;
  if (path !== "./" && !__FILES__.includes(path)) return;
  event.respondWith(answer(request, path));
});

async function answer(request: Request, path: string): Promise<Response> {
  const kept = await (await caches.open(CACHE)).match(path);
  return isolated(kept ?? (await fetch(request)));
}

function isolated(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

export {};

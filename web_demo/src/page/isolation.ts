/** The service worker: it makes the page work offline, and isolated, which the engine's threads need. */

const TRIED = "lira.isolation-tried";

/** Register it; where only its headers are missing, the page is loaded once more. Returns whether that is going on. */
export async function becomeIsolated(): Promise<boolean> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return false;
  try {
    await navigator.serviceWorker.register("./sw.js");
    if (crossOriginIsolated || sessionStorage.getItem(TRIED)) return false;
    await navigator.serviceWorker.ready;
    sessionStorage.setItem(TRIED, "yes");
    location.reload();
    return true;
  } catch {
    return false; // the page works with one thread, and while it is online
  }
}

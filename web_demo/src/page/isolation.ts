/** The service worker: it makes the page work offline, and isolated, which the engine's threads need. */

const TRIED = "lira.isolation-tried";

/** Register it; where only its headers are missing, the page is loaded once more. Returns whether that is going on. */
export async function becomeIsolated(): Promise<boolean> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return false;
  try {
    const { active, waiting, installing } = await navigator.serviceWorker.register("./sw.js");
    if (crossOriginIsolated || sessionStorage.getItem(TRIED)) return false;
    if (!(await comesIntoUse(active ?? waiting ?? installing))) return false;
    sessionStorage.setItem(TRIED, "yes");
    location.reload();
    return true;
  } catch {
    return false; // the page works with one thread, and while it is online
  }
}

/** Whether it is active in the end; one whose files cannot be loaded or kept never is. */
function comesIntoUse(worker: ServiceWorker | null): Promise<boolean> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!worker || worker.state === "redundant") resolve(false);
      else if (worker.state === "activated") resolve(true);
    };
    worker?.addEventListener("statechange", look);
    look();
  });
}

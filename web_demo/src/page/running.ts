/** The drawing that goes on in this page, as a page that is opened later finds it: a marker, and a lock that ends with the page. */

import { allRemembered, remember } from "./memory";

const KEY = "running.";
/** randomUUID is there in a secure context alone, and this page may be opened over plain HTTP. */
const mine = KEY + crypto.getRandomValues(new Uint32Array(4)).join("-");
/** A page that has just been closed may hold its lock for a moment. */
const CLOSING_MS = 1000;

/** Hold this page's lock as long as the page lives. */
export function holdRunning(): void {
  void navigator.locks?.request(mine, () => new Promise(() => {}));
}

/** progress: how far it is, null where nothing is drawn any more. */
export const markRunning = (progress: string | null): void => remember(mine, progress);

/** Where the last drawing was of a page that was closed meanwhile; null where none was. It is told once. */
export async function takeEnded(): Promise<string | null> {
  let ended: string | null = null;
  for (const [key, progress] of allRemembered<string>(KEY)) {
    if (key === mine || (await isHeld(key))) continue;
    remember(key, null);
    ended = progress;
  }
  return ended;
}

async function isHeld(key: string): Promise<boolean> {
  if (!navigator.locks) return false;
  return navigator.locks.request(key, { signal: AbortSignal.timeout(CLOSING_MS) }, () => false).catch(() => true);
}

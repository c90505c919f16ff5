/** Small things that outlive the page: the form, the drawing that was going on, and the last picture. */

const PREFIX = "lira.";
const LAST_PICTURE = "lira-last.png";

/** A page may be allowed to store nothing: then nothing is remembered. */
export function remember(key: string, value: unknown): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // the browser keeps nothing for this page
  }
}

export function recall<T>(key: string): T | null {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + key) ?? "null") as T | null;
  } catch {
    return null;
  }
}

/** All that is remembered under keys that begin with `prefix`. */
export function allRemembered<T>(prefix: string): [key: string, value: T][] {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX + prefix));
    return keys.map((key) => key.slice(PREFIX.length)).map((key) => [key, recall<T>(key)!]);
  } catch {
    return [];
  }
}

/** name: of the file to download. caption: what the user reads under it. */
export interface LastPicture {
  readonly name: string;
  readonly caption: string;
}

export async function keepPicture(png: Blob, { name, caption }: LastPicture): Promise<void> {
  try {
    const root = await navigator.storage.getDirectory();
    const writable = await (await root.getFileHandle(LAST_PICTURE, { create: true })).createWritable();
    await writable.write(png);
    await writable.close();
    remember("last", { name, caption });
  } catch {
    // the picture is on the page still, and can be downloaded
  }
}

export async function lastPicture(): Promise<(LastPicture & { png: Blob }) | null> {
  const about = recall<LastPicture>("last");
  if (!about) return null;
  try {
    const root = await navigator.storage.getDirectory();
    const file = await (await root.getFileHandle(LAST_PICTURE)).getFile();
    // A copy: another tab may write a picture of its own into the file.
    return { ...about, png: new Blob([await file.arrayBuffer()], { type: "image/png" }) };
  } catch {
    return null;
  }
}

/** A bundle in a folder of the page's own origin. */

import { LiraError } from "../core/errors";
import type { BundleSource, Found } from "../core/source";

export class OriginSource implements BundleSource {
  readonly name = "the bundle of this page";

  /** folder: its address, with "/" at its end. Raises bad_input where that is another origin's: nothing is asked of one. */
  constructor(private readonly folder: URL) {
    if (folder.origin !== location.origin) throw new LiraError("a bundle is loaded from this page's own origin alone.", "bad_input");
  }

  async find(path: string): Promise<Found | null> {
    const url = new URL(path.split("/").map(encodeURIComponent).join("/"), this.folder);
    let response: Response;
    try {
      response = await fetch(url, { redirect: "error", cache: "no-store", credentials: "same-origin" });
    } catch (error) {
      throw new LiraError(`${path} cannot be loaded: this device is offline, or the server does not answer.`, "io_error", { cause: error });
    }
    if (response.status === 404) return null;
    if (!response.ok || !response.body) {
      throw new LiraError(`${path} cannot be loaded: the server answers ${response.status}.`, "io_error");
    }
    const body = response.body;
    return { kind: "file", size: null, stream: async () => body };
  }

  async list(): Promise<null> {
    return null;
  }
}

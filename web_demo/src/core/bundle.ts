/** A bundle whose files were checked, as the pipeline uses it. */

import { LiraError, badInput } from "./errors";
import { COMPONENTS, type ComponentName } from "./interface";
import type { OpenManifest } from "./check";
import type { Component, Graph, Manifest } from "./manifest";
import type { BundleSource } from "./source";

export class Bundle {
  readonly manifest: Manifest;
  /** SHA-256 of manifest.json, which stands for every file. */
  readonly digest: string;

  constructor(
    open: OpenManifest,
    private readonly source: BundleSource,
  ) {
    this.manifest = open.manifest;
    this.digest = open.digest;
  }

  /** The whole content of a file; raises missing, or unreadable. */
  async read(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const found = await this.source.find(path);
    if (found?.kind !== "file") throw new LiraError(`${this.source.name} lacks the file ${path}.`, "missing");
    try {
      return new Uint8Array(await new Response(await found.stream()).arrayBuffer());
    } catch (error) {
      if (error instanceof RangeError) throw error; // no memory for it
      throw new LiraError(`${path} cannot be read: ${(error as Error).message}.`, "unreadable", { cause: error });
    }
  }

  /** A component's entry; raises bad_input where a partial bundle lacks it. */
  component(name: ComponentName): Component {
    const found = this.manifest.components.find((component) => component.name === name);
    if (!found) throw badInput(`the bundle holds no ${name}.`);
    return found;
  }

  /** A component's graph for pictures of `resolution` px. */
  graph(name: ComponentName, resolution: number): Graph {
    return this.component(name).graphs.find((graph) => graph.resolution === null || graph.resolution === resolution)!;
  }

  /** The side of the picture in px: `asked` or the first; raises bad_input for one that it does not draw. */
  resolution(asked: number | null): number {
    const { resolutions } = this.manifest;
    if (asked !== null && !resolutions.includes(asked)) {
      throw badInput(`the bundle draws at ${resolutions.join(", ")} px, not at ${asked}.`);
    }
    return asked ?? resolutions[0]!;
  }

  /** Text states (1, 77, d_text) of the empty prompt; raises tensor_not_finite. */
  async emptyPrompt(): Promise<Float32Array<ArrayBuffer>> {
    const entry = this.manifest.empty_prompt;
    if (!entry) throw badInput("the bundle holds no text states of the empty prompt.");
    const states = new Float32Array((await this.read(entry.path)).buffer);
    if (!states.every(Number.isFinite)) {
      throw new LiraError(`${entry.path} holds values that are not finite numbers.`, "tensor_not_finite");
    }
    return states;
  }

  /** Raises bad_input for a partial bundle, or one that is not for this engine. */
  requireRunnable(): void {
    for (const name of COMPONENTS) this.component(name);
    if (this.manifest.target !== "onnx") throw badInput(`the bundle is for ${this.manifest.target}; a browser runs those for onnx.`);
  }
}

/** What an engine must do: load, run, unload; the same three verbs as in Python and Kotlin. */

import type { Bundle } from "./bundle";
import type { ComponentName } from "./interface";
import type { Graph } from "./manifest";

export type TensorData = Float32Array | Int32Array;

/** Holds at most one graph at a time. */
export interface Backend {
  /** Load one graph; raises graph_refused where it cannot be, or its tensors are not the manifest's; out_of_memory. */
  load(bundle: Bundle, component: ComponentName, graph: Graph): Promise<void>;
  /** Run the loaded graph on named inputs, flat in C order; raises graph_failed, or out_of_memory. */
  run(inputs: Readonly<Record<string, TensorData>>): Promise<Record<string, TensorData>>;
  /** Drop the loaded graph and everything it holds; does nothing when none is loaded. */
  unload(): Promise<void>;
}

/** An engine that computes nothing: it answers with zeros, writes down what is asked of it, and fails where a test says so. */

import type { Backend, TensorData } from "../src/core/backend";
import type { Bundle } from "../src/core/bundle";
import { product, type ComponentName } from "../src/core/interface";
import type { Graph } from "../src/core/manifest";

type Inputs = Readonly<Record<string, TensorData>>;

export class ScriptedBackend implements Backend {
  readonly calls: string[] = [];
  private component: ComponentName = "text_encoder";
  private graph: Graph | null = null;

  /** onRun: what is answered in place of zeros. */
  constructor(private readonly onRun: (component: ComponentName, inputs: Inputs) => Record<string, TensorData> = () => ({})) {}

  async load(_bundle: Bundle, component: ComponentName, graph: Graph): Promise<void> {
    if (this.graph) throw new Error("two components are loaded together");
    this.calls.push(`load ${component} ${graph.resolution}`);
    [this.component, this.graph] = [component, graph];
  }

  async run(inputs: Inputs): Promise<Record<string, TensorData>> {
    const zeros = this.graph!.outputs.map(({ name, shape, dtype }): [string, TensorData] => {
      return [name, dtype === "int32" ? new Int32Array(product(shape)) : new Float32Array(product(shape))];
    });
    return { ...Object.fromEntries(zeros), ...this.onRun(this.component, inputs) };
  }

  async unload(): Promise<void> {
    if (this.graph) this.calls.push(`unload ${this.component}`);
    this.graph = null;
  }
}

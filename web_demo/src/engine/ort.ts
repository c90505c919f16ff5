/** The `Backend` for bundles of target "onnx": ONNX Runtime as WebAssembly. */

import * as ort from "onnxruntime-web/wasm";
import type { Backend, TensorData } from "../core/backend";
import type { Bundle } from "../core/bundle";
import { LiraError } from "../core/errors";
import type { ComponentName, TensorSpec } from "../core/interface";
import type { Graph } from "../core/manifest";

/**
 * threads: of the engine, itself included; more than 1 needs a cross-origin isolated page.
 * paths: where the engine's own two files lie, on the page's own origin.
 */
export interface EngineSettings {
  readonly threads: number;
  readonly paths?: { readonly mjs: string; readonly wasm: string };
}

/** Call it once, before the first graph is loaded. */
export function configureEngine({ threads, paths }: EngineSettings): void {
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.proxy = false; // whoever calls this is in a worker already
  if (paths) ort.env.wasm.wasmPaths = { ...paths };
  ort.env.logLevel = "fatal"; // our own sentence replaces the library's log
}

/** lowMemory: weights are not packed a second time, and no workspace is kept between runs; each run takes longer. */
export class OrtBackend implements Backend {
  private session: ort.InferenceSession | null = null;
  private graph: Graph | null = null;

  constructor(private readonly lowMemory = false) {}

  async load(bundle: Bundle, component: ComponentName, graph: Graph): Promise<void> {
    if (this.session) throw new Error("unload the graph before loading another: one at a time is what keeps memory low");
    try {
      const model = await bundle.read(graph.path);
      const externalData = await this.weights(bundle, component, graph);
      this.session = await ort.InferenceSession.create(model, { ...this.options(), externalData });
    } catch (error) {
      throw engineError(error, `load ${graph.path}`, `${graph.path} cannot be loaded`, "graph_refused");
    }
    this.graph = graph;
    checkTensors(graph, "inputs", graph.inputs, this.session.inputMetadata);
    checkTensors(graph, "outputs", graph.outputs, this.session.outputMetadata);
  }

  async run(inputs: Readonly<Record<string, TensorData>>): Promise<Record<string, TensorData>> {
    if (!this.session || !this.graph) throw new Error("load a graph before running it");
    const feeds = Object.fromEntries(
      this.graph.inputs.map((spec) => [spec.name, new ort.Tensor(spec.dtype as "float32", inputs[spec.name] as Float32Array, spec.shape)]),
    );
    try {
      const outputs = await this.session.run(feeds);
      return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data as TensorData]));
    } catch (error) {
      throw engineError(error, "run the graph", "a graph failed while it ran", "graph_failed");
    }
  }

  async unload(): Promise<void> {
    const session = this.session;
    [this.session, this.graph] = [null, null];
    await session?.release();
  }

  /** The component's files beside its graphs, by the names that the graph knows them under. */
  private async weights(bundle: Bundle, component: ComponentName, graph: Graph): Promise<{ path: string; data: Uint8Array }[]> {
    const { files, graphs } = bundle.component(component);
    const folder = graph.path.slice(0, graph.path.lastIndexOf("/") + 1);
    const beside = files.filter((file) => !graphs.some((each) => each.path === file.path));
    const found = [];
    for (const { path } of beside) {
      found.push({ path: path.startsWith(folder) ? path.slice(folder.length) : path, data: await bundle.read(path) });
    }
    return found;
  }

  /** Those of the Python runtime: no memory pattern, and weights that stand behind DequantizeLinear unpacked at load. */
  private options(): ort.InferenceSession.SessionOptions {
    return {
      executionProviders: ["wasm"],
      enableCpuMemArena: !this.lowMemory,
      enableMemPattern: false,
      logSeverityLevel: 4,
      extra: { session: { disable_quant_qdq: "1", disable_prepacking: this.lowMemory ? "1" : "0" } },
    };
  }
}

function checkTensors(graph: Graph, side: string, wanted: readonly TensorSpec[], found: readonly ort.InferenceSession.ValueMetadata[]): void {
  const line = (name: string, type: string, shape: readonly unknown[]): string => `${name} ${type} ${shape.join("x")}`;
  const expected = wanted.map((tensor) => line(tensor.name, tensor.dtype, tensor.shape)).sort();
  const actual = found.map((value) => (value.isTensor ? line(value.name, value.type, value.shape) : value.name)).sort();
  if (expected.join() !== actual.join()) {
    throw new LiraError(`the ${side} of the graph ${graph.path} are not those its manifest says.`, "graph_refused");
  }
}

/** The engine's errors share no kind: some are numbers, the address of an exception that nothing caught. */
function engineError(error: unknown, doing: string, failed: string, code: "graph_refused" | "graph_failed"): LiraError {
  if (error instanceof LiraError) return error;
  const said = (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
  if (typeof error === "number" || error instanceof RangeError || /alloc|memory|OOM/i.test(said)) {
    return new LiraError(`there is not enough memory to ${doing}.`, "out_of_memory", { cause: error });
  }
  // Nothing was wrong with the bundle: its own two files did not arrive, or this browser cannot run them.
  if (said.includes("no available backend")) return new LiraError(`the engine cannot start: ${said}.`, "internal", { cause: error });
  return new LiraError(`${failed}: ${said}.`, code, { cause: error });
}
